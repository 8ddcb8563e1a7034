; Accesses of 1 to 8 bytes to an address where no memory is, and one over a page edge (scenarios mmio,
; mmio_write1 to 8, mmio_crossing). BL changes what is written: the control.
%include "ringfence.inc"
HOLE    equ 0x400000
        bits    64
        guest   exit_mmio
        mov     rax, 0x8877665544332211
        xor     al, bl
        mov     [HOLE+0x100], al
        mov     [HOLE+0x200], ax
        mov     [HOLE+0x400], eax
        mov     [HOLE+0x800], rax
        mov     [HOLE+0xffd], rax
        movzx   eax, byte [HOLE+0x110]
        expect_reg exit.mmio_read1, rax, -1, 0x31
        movzx   eax, word [HOLE+0x210]
        expect_reg exit.mmio_read2, rax, -1, 0x3431
        mov     eax, [HOLE+0x410]
        expect_reg exit.mmio_read4, rax, -1, 0x3a373431
        mov     rax, [HOLE+0x810]
        expect_reg exit.mmio_read8, rax, -1, 0x4643403d3a373431
        mov     rax, [HOLE+0xffc]
        expect_reg exit.mmio_read_page, rax, -1, 0x0a070401fefbf8f5
        finish
