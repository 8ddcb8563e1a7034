; 32-bit protected mode: exceptions with their error codes, #DF, single step (SDM vol. 3, 6.15). Each
; bit of EBX takes away what one clause is about: the control.
%include "faults32.inc"
BS      equ 1 << 14                     ; of DR6
        bits    32
        guest   cpu_protected32
        faults_setup
        try_unless 1, ud2
        expect_fault cpu.p32_ud, 6, -1
        xor     edx, edx
        mov     eax, 100
        xor     ecx, ecx
        test    ebx, 2
        setnz   cl                      ; control: a divisor that is not 0
        try     div ecx
        expect_fault cpu.p32_de, 0, -1

        mov     ax, 0x1f8               ; past the GDT
        test    ebx, 4
        jz      .selector
        mov     ax, DATA0               ; control: a selector that there is
.selector:
        try     mov es, ax
        expect_fault cpu.p32_gp_selector, 13, 0x1f8
        mov     cx, SCRATCH
        scratch 0x99                    ; execute only
        test    ebx, 8
        jz      .type
        scratch 0x9b                    ; control: and read
.type:  try     mov es, cx
        expect_fault cpu.p32_gp_type, 13, SCRATCH
        scratch 0x13                    ; not present
        test    ebx, 16
        jz      .absent
        scratch 0x93                    ; control: it is
.absent: try    mov es, cx
        expect_fault cpu.p32_np, 11, SCRATCH
        scratch 0x13
        test    ebx, 32
        jz      .no_stack
        scratch 0x93
.no_stack:
        try     mov ss, cx
        expect_fault cpu.p32_ss_not_present, 12, SCRATCH
        try_unless 64, jmp 0:0
        expect_fault cpu.p32_gp_null_cs, 13, 0

        mov     ax, DATA0
        mov     es, ax
        mov     ss, ax
        xor     eax, eax
        test    ebx, 128
        jz      .null
        mov     al, DATA0               ; control: one that is not null
.null:  mov     es, ax
        try     mov eax, [es:guest_data]
        expect_fault cpu.p32_gp_null, 13, 0
        scratch 0x93, 0xfff
        test    ebx, 256
        jz      .small
        scratch 0x93                    ; control: a limit above the access
.small: mov     es, cx
        try     mov eax, [es:0x1000]
        expect_fault cpu.p32_gp_limit, 13, 0
        scratch 0x91                    ; read only
        test    ebx, 512
        jz      .constant
        scratch 0x93
.constant:
        mov     es, cx
        try     mov [es:guest_data], eax
        expect_fault cpu.p32_gp_read_only, 13, 0
        scratch 0x93, 0xfff
        test    ebx, 1024
        jz      .short
        scratch 0x93
.short: mov     ss, cx
        try     mov eax, [ss:0x1000]
        expect_fault cpu.p32_ss_limit, 12, 0
        mov     ax, DATA0
        mov     es, ax
        mov     ss, ax

        ; #GP whose gate is not present: #NP while a fault is delivered is #DF.
        test    ebx, 2048
        jnz     .gate                   ; control: it is
        mov     byte [IDT32+13*8+5], 0x0e
.gate:  mov     ax, 0x1f8
        try     mov es, ax
        expect_fault cpu.p32_df, 8, 0
        mov     byte [IDT32+13*8+5], 0x8e

        ; TF: #DB behind the instruction that follows POPF, with BS in DR6 (SDM vol. 3, 17.3.1.4).
        xor     eax, eax
        mov     dr6, eax
        pushfd
        test    ebx, 4096
        jnz     .plain                  ; control: TF stays clear
        or      word [esp], 0x100
.plain: try     popfd
        nop
.stepped:
        nop
        nop
        mov     esp, [fault_stack]
        add     esp, 4                  ; what was pushed
        mov     ecx, dr6
        expect_fault cpu.p32_step, 1, -1
        mov     eax, [fault_ip]
        sub     eax, .stepped
        expect_reg cpu.p32_step, eax, -1, 0
        expect_reg cpu.p32_step, ecx, BS, BS
        finish
        faults_routines
