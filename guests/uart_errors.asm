; 16550: errors of received characters.
;
; The machine has to send characters: at 5 ms one with parity error, framing error and break (FIFOs
; off); at 25 ms a good one, one with a parity error and a good one (FIFOs on); at 45 ms one in loopback. Where it does not, nothing is judged.
%include "uart.inc"
        guest   uart_errors
        irq_setup
        uart_line 12, 0
        sleep_us 15000
        in8     LSR
        test    al, LSR_DR
        jnz     .sent
        not_judged uart.line_errors, nothing_sent
        not_judged uart.loopback_input, nothing_sent
        finish
.sent:
; PC16550D, 8.4, bits 2 to 4: cleared by reading LSR
        expect_al uart.line_errors, LSR, 0xff, 0x7d
        expect_in8 uart.line_errors, LSR, 0xff, 0x61
        in8     RBR
; with FIFOs an error shows when its character is at the top; bit 7: one is in the FIFO
        out8    FCR, 0x07
        sleep_us 20000
        expect_in8 uart.line_errors, LSR, 0xff, 0xe1
        expect_in8 uart.line_errors, RBR, 0xff, 0x41
        out8    IER, 0x04
        expect_in8 uart.line_errors, IIR, 0xff, 0xc6
        expect_in8 uart.line_errors, LSR, 0xff, 0xe5
        expect_in8 uart.line_errors, IIR, 0xff, 0xc1
        in8     RBR
        expect_in8 uart.line_errors, LSR, 0xff, 0x61
        in8     RBR
        out8    IER, 0x00
; 8.6, bit 4: in loopback the input is cut off
        out8    MCR, MCR_LOOP
        sleep_us 15000
        expect_in8 uart.loopback_input, LSR, 0xff, 0x60
        out8    MCR, 0
        finish
        irq_routines
