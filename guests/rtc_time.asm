; MC146818: the calendar in BCD and binary, 24 and 12 hours; the update cycle.
%include "rtc.inc"
        guest   rtc_time
        irq_setup

; MC146818A, "Time, Calendar, and Alarm Locations". BCD, 24 hours
        rtc_set 0x19, 0x12, 0x31, 3, 0x23, 0x59, 0x59, 0x02
        expect_rtc rtc.bcd_binary, 0x00, 0xff, 0x59
        rtc_wait 0x12
        expect_mem8 rtc.update_in_progress, [rtc_c], 0x90, 0x90
        expect_time rtc.bcd_binary, 0x20, 0x01, 0x01, 4, 0x00, 0x00, 0x00
        rtc_wait 0x12
        expect_rtc rtc.bcd_binary, 0x00, 0xff, 0x01
        rtc_set 0x20, 0x02, 0x28, 6, 0x22, 0x59, 0x59, 0x02
        rtc_wait 0x12
        expect_time rtc.bcd_binary, 0x20, 0x02, 0x28, 6, 0x23, 0x00, 0x00
        rtc_set 0x20, 0x02, 0x28, 6, 0x23, 0x59, 0x59, 0x02
        rtc_wait 0x12
        expect_time rtc.bcd_binary, 0x20, 0x02, 0x29, 7, 0x00, 0x00, 0x00
        rtc_set 0x21, 0x02, 0x28, 1, 0x23, 0x59, 0x59, 0x02
        rtc_wait 0x12
        expect_time rtc.bcd_binary, 0x21, 0x03, 0x01, 2, 0x00, 0x00, 0x00
        rtc_set 0x21, 0x11, 0x30, 3, 0x09, 0x09, 0x59, 0x02
        rtc_wait 0x12
        expect_time rtc.bcd_binary, 0x21, 0x11, 0x30, 3, 0x09, 0x10, 0x00
; binary
        rtc_set 19, 11, 30, 7, 23, 59, 59, 0x06
        rtc_wait 0x16
        expect_time rtc.bcd_binary, 19, 12, 1, 1, 0, 0, 0
        rtc_set 9, 1, 9, 6, 9, 9, 9, 0x06
        rtc_wait 0x16
        expect_time rtc.bcd_binary, 9, 1, 9, 6, 9, 9, 10
; 12 hours: bit 7 is PM; midnight and noon are 12
        rtc_set 0x21, 0x03, 0x01, 2, 0x91, 0x59, 0x59, 0x00
        rtc_wait 0x10
        expect_time rtc.hours12, 0x21, 0x03, 0x02, 3, 0x12, 0x00, 0x00
        rtc_set 0x21, 0x03, 0x01, 2, 0x11, 0x59, 0x59, 0x00
        rtc_wait 0x10
        expect_rtc rtc.hours12, 0x04, 0xff, 0x92
        rtc_set 0x21, 0x03, 0x01, 2, 0x92, 0x59, 0x59, 0x00
        rtc_wait 0x10
        expect_rtc rtc.hours12, 0x04, 0xff, 0x81

; SET: no update, no UIP; the divider in reset: the same
        rtc_set 0x21, 0x03, 0x01, 2, 0x12, 0x00, 0x10, 0x02
        rtc_pass 0x82, 14
        expect_rtc rtc.update_in_progress, 0x00, 0xff, 0x10
        expect_rtc rtc.update_in_progress, 0x0a, 0x80, 0x00
        rtc_write 0x0b, 0x02
        rtc_write 0x0a, 0x76
        mov     bh, 255
        mov     cl, 25
        call    rtc_count_routine
        expect_rtc rtc.update_in_progress, 0x00, 0xff, 0x10
; without UIE there is the flag, and no interrupt
        rtc_pass 0x02, 11
        expect_mem8 rtc.update_in_progress, [rtc_c], 0x90, 0x10
        expect_mem8 rtc.update_in_progress, [abi_irq_count+8], 0xff, 0
        expect_rtc rtc.update_in_progress, 0x00, 0xff, 0x11
        expect_rtc rtc.update_in_progress, 0x0c, 0x10, 0x00

; UIP: 0 long before, set 244 us and an update's 1984 us before the time is new
        rtc_write 0x0a, 0x76
        rtc_write 0x0a, 0x26
        mov     bl, 9
.sleep: sleep_us 54000
        dec     bl
        jnz     .sleep
        sleep_us 10500
        out8    0x70, 0x0a
        expect_in8 rtc.update_in_progress, 0x71, 0x80, 0x00
        mov     cx, 60000
.rise:  in      al, 0x71
        test    al, 0x80
        loopz   .rise
        expect_al rtc.update_in_progress, 0x71, 0x80, 0x80
        sleep_us 1000
        expect_rtc rtc.update_in_progress, 0x00, 0xff, 0x11
        out8    0x70, 0x0a
        expect_in8 rtc.update_in_progress, 0x71, 0x80, 0x80
        mov     cx, 60000
.fall:  in      al, 0x71
        test    al, 0x80
        loopnz  .fall
        expect_al rtc.update_in_progress, 0x71, 0x80, 0x00
        expect_rtc rtc.update_in_progress, 0x00, 0xff, 0x12
        finish
        irq_routines
        rtc_routines
