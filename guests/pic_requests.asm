; 8259A: the mask, IRR and ISR, the poll command, edge and level triggering.
%include "lines.inc"
        guest   pic_requests
        irq_setup
        lines_setup
        mov     word [abi_irq_tail], irq_tail_none

; "Operation Command Word 1"
%assign v 0x55
%rep 2
        out8    0x21, v
        out8    0xa1, v ^ 0xff
        expect_in8 pic.imr, 0x21, 0xff, v
        expect_in8 pic.imr, 0xa1, 0xff, v ^ 0xff
%assign v 0xaa
%endrep
        out8    0xa1, 0xff
        out8    0x21, 0x10
        irq_forget
        ir4_high
        let_in
        expect_log pic.imr
        expect_requests pic.imr, 0x20, 0x10     ; a masked request waits
        out8    0x21, 0xef
        let_in
        expect_log pic.imr, 4

; "Reading the 8259A Status"
        expect_isr pic.irr_isr, 0x20, 0x10
        expect_in8 pic.irr_isr, 0x20, 0xff, 0x10        ; the choice stays
        expect_requests pic.irr_isr, 0x20, 0x00         ; taken: the edge was the request
        ir1_high
        expect_requests pic.irr_isr, 0x20, 0x02
        expect_isr pic.irr_isr, 0x20, 0x10
        ir1_low
        expect_requests pic.irr_isr, 0x20, 0x00         ; a request has to stay until it is taken
        out8    0x20, 0x64
        expect_isr pic.irr_isr, 0x20, 0x00
        ir0_high
        expect_requests pic.irr_isr, 0x20, 0x01
        expect_poll pic.irr_isr, 0x00                   ; masked
        out8    0x21, 0xfe
        expect_poll pic.irr_isr, 0x80
        expect_isr pic.irr_isr, 0x20, 0x01
        out8    0x20, 0x60
        ir0_low
        ir4_low
        ir12_high
        expect_requests pic.irr_isr, 0xa0, 0x10
        expect_requests pic.irr_isr, 0x20, 0x00         ; masked there
        out8    0xa1, 0xef
        expect_requests pic.irr_isr, 0x20, 0x04
        out8    0x21, 0xfb
        irq_forget
        let_in
        expect_log pic.irr_isr, 12
        expect_isr pic.irr_isr, 0xa0, 0x10
        expect_isr pic.irr_isr, 0x20, 0x04
        out8    0xa0, 0x20
        out8    0x20, 0x20
        ir12_low

; "Poll Command"
        pic_init
        out8    0x21, 0x00
        expect_poll pic.poll, 0x00
        ir4_high
        out8    0x20, 0x0a
        poll_master
        expect_al pic.poll, 0x20, 0x87, 0x84
        expect_in8 pic.poll, 0x20, 0xff, 0x00   ; one read; then IRR again, which is empty
        expect_isr pic.poll, 0x20, 0x10
        expect_poll pic.poll, 0x00
        out8    0x20, 0x20
        irq_forget
        let_in                          ; it was acknowledged
        expect_log pic.poll
        ir4_low

; ELCR of the PC's pair (82371AB, 4D0h and 4D1h): IRQ 0, 1, 2, 8 and 13 are edge for ever
%assign v 0x50
%rep 2
        out8    0x4d0, v
        out8    0x4d1, ~v & 0xde
        expect_in8 pic.trigger, 0x4d0, 0xff, v
        expect_in8 pic.trigger, 0x4d1, 0xff, ~v & 0xde
%assign v 0xa8
%endrep
        out8    0x4d0, 0xff
        out8    0x4d1, 0xff
        expect_in8 pic.trigger, 0x4d0, 0xff, 0xf8
        expect_in8 pic.trigger, 0x4d1, 0xff, 0xde
        out8    0x4d0, 0x00
        out8    0x4d1, 0x00
; edge: one request for one rise
        ir4_high
        expect_poll pic.trigger, 0x84
        out8    0x20, 0x20
        expect_requests pic.trigger, 0x20, 0x00
        expect_poll pic.trigger, 0x00
; level, by ELCR: as long as the line is high
        out8    0x4d0, 0x10
        expect_requests pic.trigger, 0x20, 0x10
        expect_poll pic.trigger, 0x84
        out8    0x20, 0x20
        expect_requests pic.trigger, 0x20, 0x10
        expect_poll pic.trigger, 0x84
        out8    0x20, 0x20
        ir4_low
        expect_requests pic.trigger, 0x20, 0x00
        out8    0x4d0, 0x00
; level, by LTIM in ICW1
        out8    0x20, 0x19
        out8    0x21, IRQ_BASE
        out8    0x21, 4
        out8    0x21, 1
        ir4_high
        expect_poll pic.trigger, 0x84
        out8    0x20, 0x20
        expect_poll pic.trigger, 0x84
        out8    0x20, 0x20
        ir4_low
        expect_requests pic.trigger, 0x20, 0x00
        finish
        irq_routines
        lines_routines
