; 8259A: the ends of interrupt, rotation, special mask mode.
%include "lines.inc"
        guest   pic_eoi
        irq_setup
        lines_setup
        out8    0x21, 0x00

; "Fully Nested Mode" and "End of Interrupt". IR4 in service, then IR1 above it.
        ir4_high
        expect_poll pic.eoi, 0x84
        ir1_high
        expect_poll pic.eoi, 0x81
        expect_isr pic.eoi, 0x20, 0x12
        ir4_low
        ir4_high                        ; in service: holds itself back
        expect_poll pic.eoi, 0x00
        out8    0x20, 0x20              ; non-specific: the highest
        expect_isr pic.eoi, 0x20, 0x10
        expect_poll pic.eoi, 0x00
        ir1_low
        ir1_high
        expect_poll pic.eoi, 0x81
        out8    0x20, 0x64              ; specific: IR4, which is not the highest
        expect_isr pic.eoi, 0x20, 0x02
        expect_poll pic.eoi, 0x00       ; IR1 holds IR4 back
        out8    0x20, 0x40              ; no operation
        expect_isr pic.eoi, 0x20, 0x02
        out8    0x20, 0x61
        expect_isr pic.eoi, 0x20, 0x00
        expect_poll pic.eoi, 0x84
        out8    0x20, 0x20
        ir4_low
        ir1_low
; automatic: in the handler nothing is in service
        pic_init 3
        irq_unmask 4
        mov     word [abi_irq_tail], note_isr
        irq_forget
        ir4_high
        let_in
        expect_log pic.eoi, 4
        expect_mem8 pic.eoi, [guest_data], 0xff, 0x00
        expect_isr pic.eoi, 0x20, 0x00
        ir4_low
        ir4_high
        let_in
        expect_log pic.eoi, 4, 4
        ir4_low
        pic_init                        ; and otherwise it is
        irq_unmask 4
        ir4_high
        let_in
        expect_mem8 pic.eoi, [guest_data], 0xff, 0x10
        out8    0x20, 0x20
        ir4_low

; "Automatic Rotation", "Specific Rotation": IR3 lowest puts IR4 before IR1
        pic_init
        out8    0x21, 0x00
        ir4_high
        ir1_high
        out8    0x20, 0xc3
        expect_poll pic.rotation, 0x84
        out8    0x20, 0x64
        expect_poll pic.rotation, 0x81
        out8    0x20, 0xe1              ; on specific EOI: IR1 lowest
        expect_isr pic.rotation, 0x20, 0x00
        call    both_again
        expect_poll pic.rotation, 0x84
        out8    0x20, 0xa0              ; on non-specific EOI: IR4 lowest
        expect_isr pic.rotation, 0x20, 0x00
        call    both_again
        expect_poll pic.rotation, 0x81
        out8    0x20, 0xa0              ; IR1 lowest
        call    both_again
        expect_poll pic.rotation, 0x84
        out8    0x20, 0x20
        ir0_high                        ; order 2...7, 0, 1
        expect_poll pic.rotation, 0x80
        out8    0x20, 0x60
        ir0_low
        out8    0x20, 0xc7
        call    both_again
        expect_poll pic.rotation, 0x81
        out8    0x20, 0x61
        ir1_low
        ir4_low
; in automatic EOI mode
        pic_init 3
        mov     word [abi_irq_tail], irq_tail_none
        out8    0x20, 0x80
        out8    0x21, 0xed
        irq_forget
        ir1_high
        let_in                          ; IR1 becomes lowest
        call    both_again
        let_in                          ; IR4, then IR1
        expect_log pic.rotation, 1, 4, 1
        out8    0x20, 0x00
        out8    0x20, 0xc7
        irq_forget
        call    both_again
        let_in
        call    both_again
        let_in
        expect_log pic.rotation, 1, 4, 1, 4
        ir1_low
        ir4_low

; "Special Mask Mode": a level in service that is masked holds nothing back
        pic_init
        out8    0x21, 0x00
        ir1_high
        expect_poll pic.special_mask, 0x81
        ir4_high
        out8    0x21, 0x02
        expect_poll pic.special_mask, 0x00
        out8    0x20, 0x68
        expect_poll pic.special_mask, 0x84
        expect_isr pic.special_mask, 0x20, 0x12
        out8    0x20, 0x20              ; non-specific EOI does not see masked levels
        expect_isr pic.special_mask, 0x20, 0x02
        out8    0x20, 0x20
        expect_isr pic.special_mask, 0x20, 0x02
        ir4_low
        ir4_high
        out8    0x20, 0x48
        expect_poll pic.special_mask, 0x00
        out8    0x20, 0x68
        out8    0x21, 0x00              ; not masked: it holds back again
        expect_poll pic.special_mask, 0x00
        out8    0x20, 0x61
        expect_poll pic.special_mask, 0x84
        finish

; Fresh edges on IR1 and IR4.
both_again:
        ir4_low
        ir1_low
        ir4_high
        ir1_high
        ret
note_isr:
        out8    0x20, 0x0b
        in8     0x20
        mov     [guest_data], al
        jmp     irq_tail_none
        irq_routines
        lines_routines
