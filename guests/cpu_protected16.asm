; 16-bit protected mode, to which the guest climbs by itself: exceptions through interrupt gates of
; 16 bit, whose frames have words (SDM vol. 3, 6.12.1 and 6.15). Each bit of EBX takes away what one
; clause is about: the control.
%include "faults32.inc"
        guest   cpu_protected16
        mov     word [fault_table_at], 23
        mov     dword [fault_table_at+2], first_gdt
        lgdt    [fault_table_at]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     8:protected
first_gdt:
        dq      0, 0x00009b000000ffff, 0x000093000000ffff
protected:
        mov     ax, 16
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        movzx   esp, sp
        faults_setup
        try_unless 1, ud2
        expect_fault cpu.p16_ud, 6, -1
        xor     dx, dx
        mov     ax, 100
        xor     cx, cx
        test    ebx, 2
        setnz   cl                      ; control: a divisor that is not 0
        try     div cx
        expect_fault cpu.p16_de, 0, -1

        mov     ax, 0x1f8               ; past the GDT
        test    ebx, 4
        jz      .selector
        mov     ax, DATA0               ; control: a selector that there is
.selector:
        try     mov es, ax
        expect_fault cpu.p16_gp_selector, 13, 0x1f8
        mov     cx, SCRATCH
        scratch 0x13                    ; not present
        test    ebx, 16
        jz      .absent
        scratch 0x93                    ; control: it is
.absent: try    mov es, cx
        expect_fault cpu.p16_np, 11, SCRATCH
        scratch 0x13
        test    ebx, 32
        jz      .no_stack
        scratch 0x93
.no_stack:
        try     mov ss, cx
        expect_fault cpu.p16_ss_not_present, 12, SCRATCH
        mov     ax, DATA0
        mov     ss, ax
        mov     si, 0xffff
        test    ebx, 256
        jz      .odd
        dec     si                      ; control: the word ends at the limit
.odd:   try     mov ax, [si]
        expect_fault cpu.p16_gp_limit, 13, 0

        ; #GP whose gate is not present: #NP while a fault is delivered is #DF.
        test    ebx, 2048
        jnz     .gate                   ; control: it is
        mov     byte [IDT32+13*8+5], 0x06
.gate:  mov     ax, 0x1f8
        try     mov es, ax
        expect_fault cpu.p16_df, 8, 0
        mov     byte [IDT32+13*8+5], 0x86

        ; The frame of a 16-bit gate has six bytes, and the return address is the fault's own.
        mov     ax, 0x1f8
        test    ebx, 8192
        jnz     .none                   ; control: no fault
        try     mov es, ax
.faults: mov    ax, [fault_stack]
        sub     ax, [fault_at]
        expect_reg cpu.p16_frame, ax, 0xffff, 6
        expect_mem32 cpu.p16_frame, [fault_cs], 0xffffffff, CODE0
        finish
.none:  mov     byte [fault_vector], NO_FAULT
        mov     word [fault_at], 0
        jmp     .faults
        faults_routines
