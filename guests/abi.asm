; The probe ABI itself: two expectations that hold, and one of each kind that must not. Its failures
; are what a test expects (guests/guests_test.cc, guests/qemu_test.py).
%include "irq.inc"
        guest   abi
        mov     eax, 0x12345678
        expect_reg abi.holds, eax, 0xffff, 0x5678
        mov     bx, 0x00ff
        expect_reg abi.holds, bx, 0xffff, 0x00ff
        mov     eax, 0x12345678
        expect_reg abi.register, eax, 0xffff0000, 0x12350000
        expect_in8 abi.port, 0xe9, 0xff, 0x16
        mov     byte [guest_data], 0x5a
        expect_mem8 abi.memory, [guest_data], 0xff, 0xa5
        mov     ebx, 10
        expect_range abi.range, ebx, 1, 9
        expect_range abi.range, ebx, 11, 12
        expect_range abi.holds, ebx, 10, 10
        mov     ecx, 11
        expect_equal abi.equal, ecx, ebx
        or      bl, bl
        expect_cc abi.flag, z
        fail    abi.fail
        pass    abi.holds
        not_judged abi.word, because
        measure abi.value, ebx
        irq_setup
        irq_unmask 3
        int     IRQ_BASE+3
        expect_irq abi.holds, 3, 1
        expect_no_irq abi.holds, 3, 1
        expect_irq abi.irq, 3, 2
        int     IRQ_BASE+3
        expect_no_irq abi.no_irq, 3, 2
        finish
        irq_routines
