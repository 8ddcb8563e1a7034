; Whether an accelerator carries a kernel: a firmware image that runs what the start of a kernel runs,
; and ends with a code in the port of isa-debug-exit (harness/kernels/accelerator.cc knows them).
;
; First its speed: 40,000 instructions of protected mode against the PIT's second channel, in the best of
; eight rounds, since the machine may be busy. Where the core of the guest is emulated one instruction at a
; time (about 700 ns each), a kernel takes minutes to unpack itself. Then an INT and its IRETQ in
; long mode.
%include "climb.inc"
EXIT_PORT   equ 0xf4
CARRIES     equ 0x10
TOO_SLOW    equ 0x11
LOOPS       equ 20000           ; of two instructions
MOST_TICKS  equ 4773            ; of 838 ns: 4 ms, 100 ns an instruction
ROUNDS      equ 8
PML4        equ 0x10000
IDT         equ 0x20000
STACK       equ 0x30000

        image_entry
        cli
        to_protected32 STACK
        mov     ebx, ROUNDS
round:  in      al, 0x61
        and     al, 0xfc
        or      al, 1           ; the second channel's gate
        out     0x61, al
        mov     al, 0xb0        ; mode 0, both bytes
        out     0x43, al
        mov     al, 0xff
        out     0x42, al
        out     0x42, al
        mov     ecx, LOOPS
turn:   dec     ecx
        jnz     turn
        in      al, 0x61
        test    al, 0x20        ; its output: it has run out
        jnz     next_round
        mov     al, 0x80        ; latch
        out     0x43, al
        in      al, 0x42
        movzx   edx, al
        in      al, 0x42
        mov     dh, al
        xor     edx, 0xffff
        cmp     edx, MOST_TICKS
        jb      fast
next_round:
        dec     ebx
        jnz     round
        mov     al, TOO_SLOW
        out     EXIT_PORT, al
        jmp     $

fast:   mov     word [IDT+0x80*16], handler
        mov     word [IDT+0x80*16+2], 24
        mov     word [IDT+0x80*16+4], 0x8e00
        mov     word [IDT+0x80*16+6], IMAGE_BASE >> 16
        mov     dword [IDT+0x80*16+8], 0
        mov     dword [IDT+0x80*16+12], 0
        to_long64 PML4, 0
        mov     rsp, STACK
        lidt    [LINEAR(idt_pointer)]
        xor     ebx, ebx
        int     0x80
        out     EXIT_PORT, al
        jmp     $
handler:
        mov     al, CARRIES
        iretq

        climb_table
idt_pointer:
        dw      0x81*16-1
        dq      IDT
