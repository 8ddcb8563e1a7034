; Real mode: interrupts by the vector table, faults, single step, segments. Each bit of BL takes away
; what one clause is about: the control.
%include "ringfence.inc"
%include "faults16.inc"
        guest   cpu_real
        faults_setup
        try_unless 1, int 5
        expect_mem8 cpu.real_int, [fault_vector], 0xff, 5
        try_unless 2, int3
        expect_mem8 cpu.real_int3, [fault_vector], 0xff, 3
        try_unless 4, ud2
        expect_mem8 cpu.real_ud, [fault_vector], 0xff, 6
        mov     ax, 100
        xor     cx, cx
        test    bl, 8
        setnz   cl                      ; control: a divisor that is not 0
        try     div cl
        expect_mem8 cpu.real_de, [fault_vector], 0xff, 0
        mov     si, 0xffff
        test    bl, 16
        jz      .odd
        dec     si                      ; control: the word ends at the limit
.odd:   try     mov ax, [si]
        expect_mem8 cpu.real_gp, [fault_vector], 0xff, 13

        mov     ax, 0x1234
        test    bl, 32
        jz      .segment
        inc     ax                      ; control: another segment
.segment:
        mov     es, ax
        mov     byte [0x2350], 0        ; 0x1234:0x10 is 0x12350
        mov     byte [es:0x10], 0x77
        mov     ax, 0x1230
        mov     fs, ax
        movzx   eax, byte [fs:0x50]
        expect_reg cpu.real_segment, eax, 0xff, 0x77
        mov     byte [fs:0x50], 0

        mov     byte [fault_steps], 0
        mov     word [1*4], step
        pushf
        pop     ax
        test    bl, 64
        jnz     .untrapped              ; control: TF stays clear
        or      ax, 0x100
.untrapped:
        push    ax
        popf
        nop
        nop
        nop
        nop
        expect_mem8 cpu.real_step, [fault_steps], 0xff, 3
        finish
; Counts; the third step is the last.
step:   push    bp
        mov     bp, sp
        inc     byte [fault_steps]
        cmp     byte [fault_steps], 3
        jb      .more
        and     word [bp+6], ~0x100
.more:  pop     bp
        iret
        faults_routines
