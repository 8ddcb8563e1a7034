; MC146818: the alarm, its don't-care codes, its flag and its interrupt.
%include "rtc.inc"
        guest   rtc_alarm
        irq_setup

; MC146818A, "Time, Calendar, and Alarm Locations" and "Register C". The time comes to 12:34:56.
; alarm hours, minutes, seconds, register B, expected flags (UF is always there)
%macro expect_alarm 5.nolist
        rtc_set 0x21, 0x03, 0x01, 2, 0x12, 0x34, 0x55, 0x02
        rtc_write 0x05, %1
        rtc_write 0x03, %2
        rtc_write 0x01, %3
        rtc_wait %4
        expect_mem8 rtc.alarm, [rtc_c], 0xb0, %5
%endmacro
        expect_alarm 0x12, 0x34, 0x56, 0x32, 0xb0
        expect_rtc rtc.alarm, 0x0c, 0xb0, 0x00
        expect_alarm 0x12, 0x34, 0x57, 0x12, 0x90
        expect_alarm 0x12, 0x35, 0x56, 0x12, 0x90
        expect_alarm 0x13, 0x34, 0x56, 0x12, 0x90
        expect_alarm 0xc0, 0xff, 0xc1, 0x12, 0xb0
        expect_alarm 0x12, 0x34, 0x80, 0x12, 0x90
        expect_alarm 0x12, 0xbf, 0x56, 0x12, 0x90
; AIE alone: the interrupt is the alarm's
        expect_alarm 0x12, 0x34, 0x56, 0x22, 0xb0
        expect_mem8 rtc.alarm, [abi_irq_count+8], 0xff, 1
; the flag without AIE is no interrupt
        expect_alarm 0x12, 0x34, 0x56, 0x02, 0x30
        expect_mem8 rtc.alarm, [abi_irq_count+8], 0xff, 0
        finish
        irq_routines
        rtc_routines
