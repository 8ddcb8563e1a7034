; 16550 line status: data ready, overrun, and the two states of the transmitter.
%include "uart.inc"
        guest   uart_line_status
        irq_setup
        uart_line 12, MCR_LOOP

; PC16550D, 8.4, bit 0: set by a whole character, reset by reading all data
        in8     RBR
        expect_in8 uart.lsr_dr, LSR, 0xff, 0x60
        uart_pass 0x41
        expect_in8 uart.lsr_dr, LSR, 0xff, 0x61
        expect_in8 uart.lsr_dr, RBR, 0xff, 0x41
        expect_in8 uart.lsr_dr, LSR, 0xff, 0x60
        out8    FCR, 0x07
        out8    THR, 0x42
        uart_pass 0x43
        expect_in8 uart.lsr_dr, LSR, 0xff, 0x61
        expect_in8 uart.lsr_dr, RBR, 0xff, 0x42
        expect_in8 uart.lsr_dr, LSR, 0xff, 0x61
        expect_in8 uart.lsr_dr, RBR, 0xff, 0x43
        expect_in8 uart.lsr_dr, LSR, 0xff, 0x60

; 8.4, bit 1. With FIFOs: what is in the FIFO stays, the character that found no place is lost.
%assign n 0
%rep 16
        out8    THR, 0x60+n
%assign n n+1
%endrep
        sleep_us 18000
        expect_in8 uart.lsr_oe, LSR, 0xff, 0x61
        out8    THR, 0x70
        sleep_us 2000
        expect_in8 uart.lsr_oe, LSR, 0xff, 0x63
        expect_in8 uart.lsr_oe, LSR, 0xff, 0x61
%assign n 0
%rep 16
        in8     RBR
%if n == 0 || n == 15
        expect_al uart.lsr_oe, RBR, 0xff, 0x60+n
%endif
%assign n n+1
%endrep
        expect_in8 uart.lsr_oe, LSR, 0xff, 0x60
; Without: the earlier character is destroyed.
        out8    FCR, 0x00
        out8    THR, 0x51
        sleep_us 2000
        expect_in8 uart.lsr_oe, LSR, 0xff, 0x61
        out8    THR, 0x52
        sleep_us 2000
        expect_in8 uart.lsr_oe, LSR, 0xff, 0x63
        expect_in8 uart.lsr_oe, LSR, 0xff, 0x61
        expect_in8 uart.lsr_oe, RBR, 0xff, 0x52
        expect_in8 uart.lsr_oe, LSR, 0xff, 0x60

; 8.4, bits 5 and 6. Characters of 8.3 ms.
        uart_line 96, MCR_LOOP
        out8    THR, 0x41
        sleep_us 2000
        expect_in8 uart.lsr_thre_temt, LSR, 0x60, 0x20
        out8    THR, 0x42
        expect_in8 uart.lsr_thre_temt, LSR, 0x60, 0x00
        sleep_us 9500
        expect_in8 uart.lsr_thre_temt, LSR, 0x60, 0x20
        sleep_us 10000
        expect_in8 uart.lsr_thre_temt, LSR, 0x60, 0x60
; In FIFO mode THRE is the whole FIFO's.
        out8    FCR, 0x07
        out8    THR, 0x43
        out8    THR, 0x44
        out8    THR, 0x45
        sleep_us 9500
        expect_in8 uart.lsr_thre_temt, LSR, 0x60, 0x00
        sleep_us 8500
        expect_in8 uart.lsr_thre_temt, LSR, 0x60, 0x20
        sleep_us 10000
        expect_in8 uart.lsr_thre_temt, LSR, 0x60, 0x60
        finish
        irq_routines
