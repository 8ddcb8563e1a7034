; 8259A: the initialization sequences, and ICW1 in mid-service.
%include "lines.inc"
        guest   pic_init
        irq_setup
        lines_setup
        mov     word [abi_irq_tail], irq_tail_none

; 8259A data sheet, "Initialization Command Words": with ICW4; ICW2's low bits are no vector's
        out8    0x20, 0x11
        out8    0x21, IRQ_BASE+7
        out8    0x21, 4
        out8    0x21, 1
        expect_in8 pic.icw, 0x21, 0xff, 0x00    ; A.(b) the mask is cleared
        out8    0x21, 0xef
        ir4_high
        irq_forget
        let_in
        expect_log pic.icw, 4
        out8    0x20, 0x20
        ir4_low

; without ICW4 the next byte is a mask; MCS-80 mode: the second pulse gives the low byte of CALL's address
        out8    0x20, 0x10
        out8    0x21, IRQ_BASE+8
        out8    0x21, 4
        expect_in8 pic.icw_no_icw4, 0x21, 0xff, 0x00
        out8    0x21, 0xef
        expect_in8 pic.icw_no_icw4, 0x21, 0xff, 0xef
        ir4_high
        irq_forget
        let_in                          ; interval 8, A7 and A6 are 0: 0x20
        expect_log pic.icw_no_icw4, 0
        out8    0x20, 0x20
        ir4_low
        out8    0x20, 0x34              ; interval 4, A5 is 1: 0x30
        out8    0x21, IRQ_BASE+8
        out8    0x21, 4
        out8    0x21, 0xef
        mov     eax, [(IRQ_BASE+9)*4]
        mov     [0x30*4], eax
        ir4_high
        irq_forget
        let_in
        expect_log pic.icw_no_icw4, 9
        out8    0x20, 0x20
        ir4_low

; single mode: no ICW3
        out8    0x20, 0x13
        out8    0x21, IRQ_BASE
        out8    0x21, 1
        out8    0x21, 0xa5
        expect_in8 pic.icw, 0x21, 0xff, 0xa5

; ICW3: the slave answers to its own number alone; nobody drives the bus for another
        pic_init
        irq_unmask 12
        ir12_high
        irq_forget
        let_in
        expect_log pic.icw, 12
        ir12_low
        out8    0xa0, 0x11
        out8    0xa1, IRQ_BASE+8
        out8    0xa1, 5
        out8    0xa1, 1
        out8    0xa1, 0xef
        out8    0x20, 0x20
        mov     eax, [(IRQ_BASE+15)*4]
        mov     [0xff*4], eax
        irq_forget
        ir12_high
        let_in
        expect_log pic.icw, 15
        ir12_low

; ICW1 while a level is in service
        pic_init
        irq_unmask 4
        ir4_high
        irq_forget
        let_in
        expect_isr pic.icw1_restart, 0x20, 0x10
        out8    0x20, 0xc3              ; priority: IR4 first
        out8    0x20, 0x68              ; special mask mode
        out8    0x20, 0x0b              ; ISR is what is read
        out8    0x20, 0x11
        out8    0x21, IRQ_BASE
        out8    0x21, 4
        out8    0x21, 1
        expect_in8 pic.icw1_restart, 0x20, 0xff, 0x00   ; IRR: the edge that was is none any more
        expect_isr pic.icw1_restart, 0x20, 0x00
        ir4_low
        ir4_high
        ir1_high
        expect_requests pic.icw1_restart, 0x20, 0x12
        expect_poll pic.icw1_restart, 0x81      ; IR7 is lowest, IR1 comes before IR4
        out8    0x21, 0x02
        expect_poll pic.icw1_restart, 0x00      ; no special mask: IR1 holds IR4 back
        out8    0x20, 0x20
        ir1_low
        ir4_low
; ICW1 in the middle of a sequence
        out8    0x20, 0x11
        out8    0x21, 0x40
        out8    0x20, 0x11
        out8    0x21, IRQ_BASE
        out8    0x21, 4
        out8    0x21, 1
        out8    0x21, 0xef
        expect_in8 pic.icw1_restart, 0x21, 0xff, 0xef
        ir4_high
        irq_forget
        let_in
        expect_log pic.icw1_restart, 4
        finish
        irq_routines
        lines_routines
