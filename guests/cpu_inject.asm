; An interrupt from outside, pending since the guest wrote port 0x30 or 0x31: held back by IF, by the shadow
; of STI and by that of MOV SS (SDM vol. 3, 6.8.3). What the handler saw of a counter tells when it
; came. BL changes one thing for each clause: the control.
%include "ringfence.inc"
VECTOR  equ 0x40
        absolute guest_data
irqs    resb 1
count   resb 1
seen    resb 1
        section .text
%macro arm_nothing 0.nolist
        cli
        mov     byte [irqs], 0
        mov     byte [count], 0
        mov     byte [seen], 0xff
%endmacro
%macro arm 0.nolist
        arm_nothing
        out     0x30, al
%endmacro
        guest   cpu_inject
        mov     word [VECTOR*4], handler
        mov     word [VECTOR*4+2], IMAGE_SEGMENT

        arm
        test    bl, 1
        jz      .closed
        sti                             ; control: the gate is open
.closed: mov    cx, 8
.poll:  out     0x80, al
        loop    .poll
        cli
        expect_mem8 cpu.inject_if, [irqs], 0xff, 0
        test    bl, 8
        jnz     .never                  ; control: it stays closed
        sti
        nop
.never: out     0x80, al
        cli
        expect_mem8 cpu.inject_taken, [irqs], 0xff, 1
        sti
        nop
        cli

        arm
        test    bl, 2
        jnz     .sti_plain
        sti
        inc     byte [count]            ; in the shadow
        nop
        out     0x80, al
        jmp     .sti_done
.sti_plain:
        sti
        nop
        inc     byte [count]
        nop
        out     0x80, al
.sti_done:
        cli
        expect_mem8 cpu.inject_sti, [seen], 0xff, 1

        ; The host makes an interrupt pending and says that the last instruction was a MOV SS: two
        ; such instructions in a row need not hold it back twice.
        arm_nothing
        sti
        nop
        out     0x31, al
        inc     byte [count]            ; in the shadow
        nop
        out     0x80, al
        cli
        expect_mem8 cpu.inject_mov_ss, [seen], 0xff, 1
        finish
handler:
        push    ax
        mov     al, [count]
        mov     [seen], al
        inc     byte [irqs]
        pop     ax
        iret
