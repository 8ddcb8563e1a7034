; Long mode: faults with their error codes, page faults of each kind, #DF, single step. The host maps
; low memory to itself in pages of 2 MiB with tables at 0x84000 (PML4), 0x85000, 0x86000. Each bit of
; BL takes away what one clause is about: the control.
%include "faults64.inc"
PAGE    equ 0xa00000                    ; entry 5 of the page directory
ENTRY   equ 0x86000+5*8
EFER    equ 0xc0000080
; The entry of PAGE: %1, or an ordinary one when bit %2 of BL is set.
%macro map_page 2.nolist
        mov     rax, %1
        test    r12d, %2
        jz      %%set
        mov     rax, 0x87
%%set:  mov     [ENTRY], rax
        invlpg  [PAGE]
%endmacro
; CLAUSE, vector, error code
%macro expect_fault 3.nolist
        expect_mem8 %1, [fault_vector], 0xff, %2
        expect_mem64 %1, [fault_error], -1, %3
%endmacro
        bits    64
        guest   cpu_long
        mov     r12d, ebx
        faults_setup
        xor     edx, edx
        mov     eax, 100
        xor     ecx, ecx
        test    r12d, 1
        setnz   cl                      ; control: a divisor that is not 0
        try     div ecx
        expect_mem8 cpu.long_de, [fault_vector], 0xff, 0
        try_unless 2, ud2
        expect_mem8 cpu.long_ud, [fault_vector], 0xff, 6

        mov     ax, ds
        test    r12d, 4
        jnz     .selector               ; control: a selector that there is
        mov     ax, 0x1f8               ; past the GDT
.selector:
        try     mov es, ax
        expect_fault cpu.long_gp_selector, 13, 0x1f8
        mov     rax, 0x8000000000000000 ; not canonical
        test    r12d, 8
        jz      .canonical
        mov     eax, guest_data
.canonical:
        try     mov ecx, [rax]
        expect_fault cpu.long_gp_canonical, 13, 0

        map_page 0, 16
        try     mov eax, [PAGE+0x123]
        expect_fault cpu.pf_read, 14, 0
        expect_mem64 cpu.pf_read, [fault_address], -1, PAGE+0x123
        map_page 0, 32
        try     mov [PAGE], eax
        expect_fault cpu.pf_write, 14, 2
        mov     rax, cr0
        or      eax, 1 << 16            ; WP
        mov     cr0, rax
        map_page 0x85, 64               ; present, for ring 3, not writable
        try     mov [PAGE], eax
        expect_fault cpu.pf_write_protected, 14, 3
        mov     ecx, EFER
        rdmsr
        or      eax, 1 << 11            ; NXE
        wrmsr
        map_page 0x8000000000000087, 128
        mov     eax, PAGE
        mov     byte [PAGE], 0xc3       ; no memory: floats, and is never executed
        test    r12d, 128
        jnz     .not_called
        try     call rax
        mov     rsp, [fault_stack]
        jmp     .called
.not_called:
        mov     byte [fault_vector], NO_FAULT
.called:
        expect_fault cpu.pf_fetch, 14, 0x11
        map_page 0x2087 | 1 << 51, 256  ; reserved bits: of the frame of a large page, and over MAXPHYADDR
        try     mov eax, [PAGE]
        expect_fault cpu.pf_reserved, 14, 9

        ; What must stay as it is while paging is on.
        mov     rax, cr4
        test    r12d, 1024
        jnz     .pae
        and     eax, ~(1 << 5)          ; PAE
.pae:   try     mov cr4, rax
        expect_fault cpu.long_pae_cleared, 13, 0
        mov     rax, cr0
        test    r12d, 2048
        jnz     .pe
        and     eax, ~1                 ; PE
.pe:    try     mov cr0, rax
        expect_fault cpu.long_pe_cleared, 13, 0
        mov     ecx, EFER
        rdmsr
        test    r12d, 4096
        jnz     .lme
        and     eax, ~(1 << 8)          ; LME
.lme:   try     wrmsr
        expect_fault cpu.long_lme_cleared, 13, 0

        ; A page fault whose gate is not present: #NP while a fault is delivered is #DF.
        mov     byte [IDT64+14*16+5], 0x0e
        test    r12d, 512
        jz      .no_gate
        mov     byte [IDT64+14*16+5], 0x8e      ; control: it is
.no_gate:
        map_page 0, 0
        try     mov eax, [PAGE]
        mov     rsp, [fault_stack]
        expect_fault cpu.df, 8, 0
        mov     byte [IDT64+14*16+5], 0x8e
        map_page 0x87, 0
        finish
        faults_routines
