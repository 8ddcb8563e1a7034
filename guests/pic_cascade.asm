; 8259A pair: priorities across the cascade, special fully nested mode, spurious interrupts.
%include "lines.inc"
        guest   pic_cascade
        irq_setup
        lines_setup

; The slave's levels stand where IR2 does.
        out8    0x21, 0xe9
        out8    0xa1, 0xee
        irq_forget
        ir4_high
        ir12_high
        let_in
        expect_log pic.cascade_priority, 12, 4
        ir4_low
        ir12_low
        irq_forget
        ir1_high
        ir8_high
        let_in
        expect_log pic.cascade_priority, 1, 8
        ir8_low
        ir1_low
        irq_forget
        ir12_high
        ir8_high
        let_in
        expect_log pic.cascade_priority, 8, 12
        ir8_low
        ir12_low

; Without it, a slave in service is locked out whole, by the master's ISR.
        mov     word [abi_irq_tail], irq_tail_none
        irq_forget
        ir12_high
        let_in
        ir8_high
        let_in
        expect_log pic.special_fully_nested, 12
        out8    0xa0, 0x20
        out8    0x20, 0x20
        let_in
        expect_log pic.special_fully_nested, 12, 8
        ir8_low
        ir12_low
; "Special Fully Nested Mode": the slave's higher levels get through.
        pic_init 0x11
        out8    0x21, 0xe9
        out8    0xa1, 0xee
        irq_forget
        ir12_high
        let_in
        ir8_high
        let_in
        expect_log pic.special_fully_nested, 12, 8
        expect_isr pic.special_fully_nested, 0xa0, 0x11
        ir8_low
        ir12_low

; "If the IR input goes low before [the first INTA] a DEFAULT IR7 will occur": vector 7, ISR clear.
        pic_init
        irq_unmask 4
        irq_forget
        ir4_high
        ir4_low
        let_in
        expect_log pic.spurious7, 7
        expect_isr pic.spurious7, 0x20, 0x00
        expect_requests pic.spurious7, 0x20, 0x00
; The same of the slave; the master has taken a real request and has to be told its end.
        pic_init
        irq_unmask 12
        irq_forget
        ir12_high
        ir12_low
        let_in
        expect_log pic.spurious15, 15
        expect_isr pic.spurious15, 0xa0, 0x00
        expect_isr pic.spurious15, 0x20, 0x04
        out8    0x20, 0x20
        expect_isr pic.spurious15, 0x20, 0x00
        finish
        irq_routines
        lines_routines
