; Control registers and MSRs from real mode: what may be written, and what must not (SDM vol. 3, 2.5;
; vol. 2, WRMSR). Each bit of BL makes one write a legal one: the control.
%include "ringfence.inc"
%include "faults16.inc"
SYSENTER_ESP equ 0x175
; CLAUSE, bit of BL, control register, wrong bits to set, bits to clear
%macro wrong_cr 5.nolist
        mov     eax, %3
        mov     esi, eax
        test    bl, %2
        jnz     %%legal
        or      eax, %4
        and     eax, ~(%5)
%%legal: try    mov %3, eax
        mov     %3, esi
        expect_mem8 %1, [fault_vector], 0xff, 13
%endmacro
        guest   cpu_registers
        faults_setup
        wrong_cr cpu.cr0_nw_without_cd, 1, cr0, 1 << 29, 1 << 30
        wrong_cr cpu.cr0_pg_without_pe, 2, cr0, 1 << 31, 1
        wrong_cr cpu.cr4_reserved, 4, cr4, 1 << 15, 0

        mov     ecx, 0x12345678
        test    bl, 8
        jz      .unknown
        mov     ecx, SYSENTER_ESP       ; control: an MSR that there is
.unknown:
        try     rdmsr
        expect_mem8 cpu.msr_unknown_read, [fault_vector], 0xff, 13
        xor     eax, eax
        xor     edx, edx
        try     wrmsr
        expect_mem8 cpu.msr_unknown_write, [fault_vector], 0xff, 13
        mov     ecx, SYSENTER_ESP
        mov     eax, 0x1234abcd
        test    bl, 16
        jz      .same
        inc     eax                     ; control: another value
.same:  xor     edx, edx
        wrmsr
        rdmsr
        expect_reg cpu.msr_write, eax, 0xffffffff, 0x1234abcd

        mov     eax, cr0
        or      eax, 1 << 16            ; WP: keeps what is written
        test    bl, 32
        jnz     .wp
        mov     cr0, eax
.wp:    mov     eax, cr0
        expect_reg cpu.cr0_write, eax, 1 << 16, 1 << 16
        finish
        faults_routines
