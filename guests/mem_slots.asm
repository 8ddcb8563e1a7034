; What a guest sees of the host's slots at 0x400000; ECX says which question (scenarios read_only,
; hole, alias, removed, dirty_log).
%include "ringfence.inc"
PLACE   equ 0x400000
        bits    64
        guest   mem_slots
        cmp     ecx, 2
        je      hole
        cmp     ecx, 3
        je      alias
        cmp     ecx, 4
        je      removed
        cmp     ecx, 5
        je      dirty
        mov     eax, [PLACE]
        expect_reg mem.read_only_reads, rax, 0xffffffff, 0x1234
        mov     dword [PLACE], 0x77
        mov     eax, [PLACE]
        expect_reg mem.read_only, rax, 0xffffffff, 0x1234
        finish
hole:   mov     eax, [PLACE]
        expect_reg mem.hole, rax, 0xffffffff, 0xffffffff
        finish
alias:  mov     dword [PLACE+0x10], 0xabcd
        mov     eax, [PLACE+0x1010]
        expect_reg mem.alias, rax, 0xffffffff, 0xabcd
        finish
removed:
        mov     dword [PLACE], 0x55
        mov     eax, [PLACE]
        out     0x32, al
        mov     eax, [PLACE]
        expect_reg mem.removed, rax, 0xffffffff, 0xffffffff
        finish
dirty:  mov     byte [PLACE+0x1000], 1
        mov     byte [PLACE+0x3fff], 1
        test    bl, 1
        jnz     .not                    ; control: one page less
        mov     dword [PLACE+0x6800], 1
.not:   mov     eax, [PLACE+0x4000]     ; reading is no writing
        finish
