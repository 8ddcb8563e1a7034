; MC146818: registers A to D, RAM, the periodic interrupt.
%include "rtc.inc"
        guest   rtc_registers
        irq_setup

; MC146818A, "Registers". A: seven bits to write, UIP; B: all bits.
        rtc_write 0x0b, 0x82
%assign v 0x55
%rep 2
        rtc_write 0x0a, v | 0x80
        expect_rtc rtc.registers, 0x0a, 0x7f, v & 0x7f
%assign v 0x2a
%endrep
        rtc_write 0x0a, 0x26
        rtc_write 0x0b, 0xaa
        expect_rtc rtc.registers, 0x0b, 0xff, 0xaa
        rtc_write 0x0b, 0x55
        expect_rtc rtc.registers, 0x0b, 0xff, 0x55
        rtc_write 0x0b, 0xd2            ; SET clears UIE
        expect_rtc rtc.registers, 0x0b, 0xff, 0xc2
        rtc_write 0x0b, 0x02
; D: VRT, read only
        expect_rtc rtc.registers, 0x0d, 0xff, 0x80
        rtc_write 0x0d, 0x00
        expect_rtc rtc.registers, 0x0d, 0xff, 0x80
; C: flags, cleared by reading, not by writing. PF comes by itself; no interrupt without PIE
        rtc_write 0x0a, 0x26
        sleep_us 3000
        rtc_write 0x0c, 0x00
        expect_rtc rtc.registers, 0x0c, 0xcf, 0x40
        expect_rtc rtc.registers, 0x0c, 0xcf, 0x00
; RAM, by every bit of the index; bit 7 is the NMI mask and selects nothing
        rtc_write 0x40, 0xe5
        rtc_write 0x41, 0xe4
        rtc_write 0x42, 0xe7
        rtc_write 0x44, 0xe1
        rtc_write 0x48, 0xed
        rtc_write 0x50, 0xf5
        rtc_write 0x60, 0xc5
        rtc_write 0x0e, 0x5a
        expect_rtc rtc.registers, 0x0e, 0xff, 0x5a
        expect_rtc rtc.registers, 0x40, 0xff, 0xe5
        expect_rtc rtc.registers, 0x41, 0xff, 0xe4
        expect_rtc rtc.registers, 0x42, 0xff, 0xe7
        expect_rtc rtc.registers, 0x44, 0xff, 0xe1
        expect_rtc rtc.registers, 0x48, 0xff, 0xed
        expect_rtc rtc.registers, 0x50, 0xff, 0xf5
        expect_rtc rtc.registers, 0x60, 0xff, 0xc5
        expect_rtc rtc.registers, 0xc1, 0xff, 0xe4
        expect_rtc rtc.registers, 0x0d, 0xff, 0x80

; periodic interrupts of four rates, against 18.2 Hz; rates 1 and 2 are 256 and 128 Hz
%macro expect_rate 4.nolist             ; register A, ticks, lowest, highest
        rtc_write 0x0a, %1
        out8    0x70, 0x0c
        in8     0x71
        rtc_write 0x0b, 0x42
        mov     bh, 200
        mov     cl, %2
        call    rtc_count_routine
        rtc_write 0x0b, 0x02
        mov     al, [abi_irq_count+8]
        expect_range rtc.periodic, al, %3, %4
%endmacro
        expect_rate 0x2a, 10, 26, 46    ; 64 Hz: 35
        expect_rate 0x2d, 20, 6, 12     ; 8 Hz: 9
        expect_rate 0x21, 5, 50, 91     ; 256 Hz: 70
        expect_rate 0x22, 5, 25, 46     ; 128 Hz: 35
        expect_rate 0x20, 4, 0, 0
        expect_mem8 rtc.periodic, [rtc_c], 0xc0, 0x00
        rtc_write 0x0a, 0x26
        finish
        irq_routines
        rtc_routines
