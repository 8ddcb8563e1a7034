; 16550 FIFOs: enabling, flushing, trigger levels, the character timeout.
%include "uart.inc"
        guest   uart_fifo
        irq_setup
        uart_line 12, MCR_LOOP

; PC16550D, 8.5, bit 0: characters queue; a change of it empties both FIFOs
        out8    FCR, 0x01
        out8    THR, 0x41
        out8    THR, 0x42
        uart_pass 0x43
        expect_in8 uart.fcr_enable, LSR, 0xff, 0x61
        expect_in8 uart.fcr_enable, RBR, 0xff, 0x41
        expect_in8 uart.fcr_enable, RBR, 0xff, 0x42
        out8    FCR, 0x00
        expect_in8 uart.fcr_enable, LSR, 0xff, 0x60
        out8    FCR, 0xc8               ; 8.5: nothing is programmed while bit 0 is 0
        expect_in8 uart.fcr_enable, IIR, 0xff, 0x01

; bit 1: the receive FIFO, and what it had announced
        out8    FCR, 0x01
        out8    IER, 0x01
        out8    THR, 0x44
        uart_pass 0x45
        expect_in8 uart.fcr_flush, LSR, 0xff, 0x61
        expect_in8 uart.fcr_flush, IIR, 0xff, 0xc4
        out8    FCR, 0x03
        expect_in8 uart.fcr_flush, LSR, 0xff, 0x60
        expect_in8 uart.fcr_flush, IIR, 0xff, 0xc1
        uart_pass 0x46
        expect_in8 uart.fcr_flush, RBR, 0xff, 0x46
; bit 2: the transmit FIFO, but not the character that is being sent
        uart_line 96, MCR_LOOP
        out8    THR, 0x47
        out8    THR, 0x48
        out8    THR, 0x49
        sleep_us 2000
        expect_in8 uart.fcr_flush, LSR, 0x60, 0x00
        out8    FCR, 0x05
        expect_in8 uart.fcr_flush, LSR, 0x60, 0x20
        sleep_us 25000
        expect_in8 uart.fcr_flush, LSR, 0xff, 0x61
        expect_in8 uart.fcr_flush, RBR, 0xff, 0x47
        expect_in8 uart.fcr_flush, LSR, 0xff, 0x60
; each flushes its own alone
        out8    THR, 0x4a
        out8    THR, 0x4b
        out8    FCR, 0x03
        expect_in8 uart.fcr_flush, LSR, 0x60, 0x00
        uart_drain
        out8    FCR, 0x05
        expect_in8 uart.fcr_flush, LSR, 0xff, 0x61
        out8    FCR, 0x03

; bits 6 and 7: interrupts from the level on, not below
        uart_line 12, MCR_LOOP
        out8    IER, 0x01
%assign code 0
%rep 4
%if code == 0
%assign level 1
%elif code == 1
%assign level 4
%elif code == 2
%assign level 8
%else
%assign level 14
%endif
        out8    FCR, 0x03 | (code << 6)
%assign n 1
%rep level-1
        out8    THR, n
%assign n n+1
%endrep
        uart_drain
        expect_in8 uart.fcr_trigger, IIR, 0xff, 0xc1
        uart_pass level
        expect_in8 uart.fcr_trigger, IIR, 0xff, 0xc4
        expect_in8 uart.fcr_trigger, RBR, 0xff, 1
        expect_in8 uart.fcr_trigger, IIR, 0xff, 0xc1
%assign code code+1
%endrep

; FIFO interrupt mode, A: the timeout, after four characters' time without receiving or reading
        out8    FCR, 0x83
        expect_in8 uart.fcr_timeout, IIR, 0xff, 0xc1
        out8    THR, 0x4c
        uart_pass 0x4d
        expect_in8 uart.fcr_timeout, IIR, 0xff, 0xc1
        sleep_us 6000
        expect_in8 uart.fcr_timeout, IIR, 0xff, 0xcc
        out8    IER, 0x03               ; above THRE
        expect_in8 uart.fcr_timeout, IIR, 0xff, 0xcc
        out8    IER, 0x01
        expect_in8 uart.fcr_timeout, RBR, 0xff, 0x4c
        expect_in8 uart.fcr_timeout, IIR, 0xff, 0xc1
        sleep_us 6000
        expect_in8 uart.fcr_timeout, IIR, 0xff, 0xcc
        expect_in8 uart.fcr_timeout, RBR, 0xff, 0x4d
        sleep_us 6000
        expect_in8 uart.fcr_timeout, IIR, 0xff, 0xc1

; LCR belongs to the line, not to the FIFOs
        out8    FCR, 0x43
        out8    THR, 0x4e
        uart_pass 0x4f
        out8    LCR, 0x80
        out8    LCR, 0x1f
        out8    LCR, 0x03
        expect_in8 uart.lcr_keeps_fifo, LSR, 0xff, 0x61
        expect_in8 uart.lcr_keeps_fifo, RBR, 0xff, 0x4e
        expect_in8 uart.lcr_keeps_fifo, RBR, 0xff, 0x4f
        expect_in8 uart.lcr_keeps_fifo, LSR, 0xff, 0x60
        expect_in8 uart.lcr_keeps_fifo, IIR, 0xff, 0xc1
        out8    THR, 0x50               ; the trigger level is still 4
        out8    THR, 0x51
        uart_pass 0x52
        expect_in8 uart.lcr_keeps_fifo, IIR, 0xff, 0xc1
        uart_pass 0x53
        expect_in8 uart.lcr_keeps_fifo, IIR, 0xff, 0xc4
        finish
        irq_routines
