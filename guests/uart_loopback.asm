; 16550 loopback: data, modem lines, and the deltas in MSR.
%include "uart.inc"
        guest   uart_loopback
        irq_setup
        uart_line 12, MCR_LOOP

; PC16550D, 8.6, bit 4
        uart_pass 0x55
        expect_in8 uart.loopback, LSR, 0xff, 0x61
        expect_in8 uart.loopback, RBR, 0xff, 0x55
        uart_pass 0xaa
        expect_in8 uart.loopback, RBR, 0xff, 0xaa
        out8    LCR, 0x02               ; seven bits
        uart_pass 0xd5
        expect_in8 uart.loopback, RBR, 0xff, 0x55
        out8    LCR, 0x03
        expect_in8 uart.loopback, MSR, 0xf0, 0x00
        out8    MCR, MCR_LOOP | 1       ; DTR -> DSR
        expect_in8 uart.loopback, MSR, 0xf0, 0x20
        out8    MCR, MCR_LOOP | 2       ; RTS -> CTS
        expect_in8 uart.loopback, MSR, 0xf0, 0x10
        out8    MCR, MCR_LOOP | 4       ; OUT1 -> RI
        expect_in8 uart.loopback, MSR, 0xf0, 0x40
        out8    MCR, MCR_LOOP | 8       ; OUT2 -> DCD
        expect_in8 uart.loopback, MSR, 0xf0, 0x80
        out8    MCR, MCR_LOOP | 15
        expect_in8 uart.loopback, MSR, 0xf0, 0xf0

; 8.9, bits 0-3: a change since MSR was read; RI only when it ends
        out8    MCR, MCR_LOOP
        in8     MSR
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x00
        out8    MCR, MCR_LOOP | 2
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x11
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x10
        out8    MCR, MCR_LOOP
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x01
        out8    MCR, MCR_LOOP | 1
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x22
        out8    MCR, MCR_LOOP
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x02
        out8    MCR, MCR_LOOP | 4
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x40
        out8    MCR, MCR_LOOP
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x04
        out8    MCR, MCR_LOOP | 8
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x88
        out8    MCR, MCR_LOOP
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x08
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x00
        ; a change there and back is a change
        out8    MCR, MCR_LOOP | 2
        out8    MCR, MCR_LOOP
        out8    IER, 0x08
        expect_in8 uart.msr_deltas, IIR, 0xff, 0x00
        expect_in8 uart.msr_deltas, MSR, 0xff, 0x01
        expect_in8 uart.msr_deltas, IIR, 0xff, 0x01
        finish
        irq_routines
