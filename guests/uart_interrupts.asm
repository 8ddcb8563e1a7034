; 16550 interrupts: priorities, what clears them, and the way to the line.
%include "uart.inc"
        guest   uart_interrupts
        irq_setup
        elcr_level 4                    ; the PIC's IRR shows the line as it is
        uart_line 12, MCR_LOOP

; PC16550D, table IV, in 16450 mode: all four at once
        out8    THR, 0x41
        sleep_us 2000
        out8    THR, 0x42
        sleep_us 2000                   ; overrun, data, transmitter empty
        in8     MSR
        out8    MCR, MCR_LOOP | 2       ; RTS: delta CTS
        expect_in8 uart.iir_priority, IIR, 0xff, 0x01
        out8    IER, 0x0f
        expect_in8 uart.iir_priority, IIR, 0xff, 0x06
        expect_in8 uart.iir_read_clears_thre, IIR, 0xff, 0x06
        in8     LSR
        expect_in8 uart.iir_priority, IIR, 0xff, 0x04
        expect_in8 uart.iir_read_clears_thre, IIR, 0xff, 0x04
        in8     RBR
        expect_in8 uart.iir_priority, IIR, 0xff, 0x02
        expect_in8 uart.iir_priority, IIR, 0xff, 0x00
        expect_in8 uart.iir_read_clears_thre, IIR, 0xff, 0x00
        in8     MSR
        expect_in8 uart.iir_priority, IIR, 0xff, 0x01

; data and THRE pending together
        out8    IER, 0x00
        out8    THR, 0x43
        sleep_us 2000
        out8    IER, 0x03
        expect_in8 uart.iir_no_or, IIR, 0xff, 0x04
        expect_in8 uart.iir_no_or, IIR, 0xff, 0x04
        in8     RBR
        expect_in8 uart.iir_no_or, IIR, 0xff, 0x02
        expect_in8 uart.iir_no_or, IIR, 0xff, 0x01
; reading IIR as the source clears THRE; so does writing THR
        out8    IER, 0x00
        out8    IER, 0x02
        expect_in8 uart.iir_read_clears_thre, IIR, 0xff, 0x02
        expect_in8 uart.iir_read_clears_thre, IIR, 0xff, 0x01
        expect_in8 uart.iir_read_clears_thre, LSR, 0x60, 0x60
        out8    THR, 0x44
        sleep_us 2000
        expect_in8 uart.iir_read_clears_thre, IIR, 0xff, 0x02
        in8     RBR
; each source has its enable bit alone
        out8    THR, 0x45
        sleep_us 2000
        out8    THR, 0x46
        sleep_us 2000
        out8    MCR, MCR_LOOP
        out8    IER, 0x08
        expect_in8 uart.iir_priority, IIR, 0xff, 0x00
        out8    IER, 0x01
        expect_in8 uart.iir_priority, IIR, 0xff, 0x04
        out8    IER, 0x04
        expect_in8 uart.iir_priority, IIR, 0xff, 0x06
        out8    IER, 0x02
        expect_in8 uart.iir_priority, IIR, 0xff, 0x02
        out8    IER, 0x00
        expect_in8 uart.iir_priority, IIR, 0xff, 0x01
        in8     LSR
        in8     RBR
        in8     MSR

; 8.3 and 8.5, bits 6 and 7 of IIR
        expect_in8 uart.iir_fifo_bits, IIR, 0xff, 0x01
        out8    FCR, 0x01
        expect_in8 uart.iir_fifo_bits, IIR, 0xff, 0xc1
        out8    FCR, 0x00
        expect_in8 uart.iir_fifo_bits, IIR, 0xff, 0x01

; IER written while the condition is there already; the line, outside of loopback
        out8    MCR, MCR_OUT2
        in8     MSR
        expect_irr uart.ier_pending, 4, 0
        out8    IER, 0x02
        expect_irr uart.ier_pending, 4, 1
        out8    IER, 0x00
        expect_irr uart.ier_pending, 4, 0
        out8    IER, 0x02
        expect_in8 uart.ier_pending, IIR, 0xff, 0x02
        expect_irr uart.ier_pending, 4, 0
        out8    IER, 0x00

; the gate that OUT2 is in a PC
        out8    MCR, 0x00
        out8    IER, 0x02
        expect_irr uart.out2_gate, 4, 0
        out8    MCR, MCR_OUT2
        expect_irr uart.out2_gate, 4, 1
        out8    MCR, 0x07
        expect_irr uart.out2_gate, 4, 0
        expect_in8 uart.out2_gate, IIR, 0xff, 0x02
        out8    IER, 0x00

; and to the CPU
        out8    MCR, MCR_OUT2
        out8    0x4d0, 0
        pic_init
        irq_unmask 4
        expect_no_irq uart.ier_pending, 4, 5
        out8    IER, 0x02
        expect_irq uart.ier_pending, 4, 5
        finish
        irq_routines
