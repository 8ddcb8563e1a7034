; Paging of 32-bit protected mode: pages of 4 KiB and 4 MiB, page faults with their error codes (SDM
; vol. 3, 4.3 and 4.7). Each bit of EBX takes away what one clause is about: the control.
%include "faults32.inc"
DIRECTORY equ 0x20000
TABLE   equ 0x21000                     ; of 4 MiB from PAGE on
PAGE    equ 0x400000
FRAME_AT equ 0x30000
%macro page 2.nolist
        mov     eax, %1
        test    ebx, %2
        jz      %%set
        mov     eax, FRAME_AT | 7
%%set:  mov     [TABLE], eax
        invlpg  [PAGE]
%endmacro
        bits    32
        guest   cpu_paging32
        faults_setup
        mov     edi, DIRECTORY
        mov     ecx, 2048
        xor     eax, eax
        cld
.clear: mov     [edi], eax
        add     edi, 4
        dec     ecx
        jnz     .clear
        mov     dword [DIRECTORY], 0x87 ; 4 MiB to itself
        mov     dword [DIRECTORY+4], TABLE | 7
        mov     dword [DIRECTORY+8], 0x87       ; the same 4 MiB again, at 8 MiB
        test    ebx, 1
        jz      .large
        mov     dword [DIRECTORY+8], 0x400087   ; control: others
.large: mov     dword [FRAME_AT+0x10], 0x5aa51234
        mov     dword [TABLE], FRAME_AT | 7
        test    ebx, 2
        jz      .small
        mov     dword [TABLE], (FRAME_AT+0x1000) | 7
.small: mov     dword [FRAME_AT+0x1010], 0
        mov     eax, cr4
        or      eax, 1 << 4             ; PSE
        mov     cr4, eax
        mov     eax, DIRECTORY
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 1 << 31 | 1 << 16  ; PG, WP
        try     mov cr0, eax
        jmp     .paged
.paged: try     mov ecx, [2*PAGE+FRAME_AT+0x10]
        expect_reg cpu.p32_page_4m, ecx, -1, 0x5aa51234
        try     mov ecx, [PAGE+0x10]
        expect_reg cpu.p32_page_4k, ecx, -1, 0x5aa51234
        page    0, 4
        try     mov eax, [PAGE+0x123]
        mov     ecx, cr2
        expect_fault cpu.p32_pf_read, 14, 0
        expect_reg cpu.p32_pf_read, ecx, -1, PAGE+0x123
        page    0, 8
        try     mov [PAGE], eax
        expect_fault cpu.p32_pf_write, 14, 2
        page    FRAME_AT | 5, 16
        try     mov [PAGE], eax
        expect_fault cpu.p32_pf_write_protected, 14, 3
        page    FRAME_AT | 3, 32        ; not for ring 3
        mov     byte [IDT32+LAST_GATE*8+5], 0xee
        mov     byte [fault_vector], NO_FAULT
        mov     dword [fault_error], -1
        mov     dword [fault_resume], .came_back
        mov     [fault_stack], esp
        push    dword DATA3
        push    dword 0xb000
        push    dword 2
        push    dword CODE3
        push    dword user
        iretd
.came_back:
        expect_fault cpu.p32_pf_user, 14, 5
        finish
user:   mov     ax, DATA3
        mov     ds, ax
        mov     eax, [PAGE]
        int     LAST_GATE
        jmp     user
        faults_routines
