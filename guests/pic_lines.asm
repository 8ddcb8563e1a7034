; 8259A: the inputs that no device of the machine drives, 3, 5, 6 and 7 of the master and 9, 11, 13-15.
;
; The machine has to raise them 5 ms after the start. Where it does not, nothing is judged.
%include "lines.inc"
        guest   pic_lines
        irq_setup
        sleep_us 10000
        out8    0x20, 0x0a
        in8     0x20
        and     al, 0xe8
        jnz     .raised
        not_judged pic.every_line, nothing_raised
        finish
.raised:
; 8259A, "Reading the 8259A Status": each in IRR, and in ISR when it is acknowledged
        expect_requests pic.every_line, 0x20, 0xe8
        expect_requests pic.every_line, 0xa0, 0xea
        out8    0x21, 0x06
%assign n 3
%rep 4
        expect_poll pic.every_line, 0x80 | n
        expect_isr pic.every_line, 0x20, 1 << n
        out8    0x20, 0x20
%if n == 3
%assign n 5
%else
%assign n n+1
%endif
%endrep
        expect_requests pic.every_line, 0x20, 0x00
        out8    0xa1, 0x00
%macro expect_slave 1.nolist
        out8    0xa0, 0x0c
        expect_in8 pic.every_line, 0xa0, 0x87, 0x80 | %1
        expect_isr pic.every_line, 0xa0, 1 << %1
        out8    0xa0, 0x20
%endmacro
        expect_slave 1
        expect_slave 3
        expect_slave 5
        expect_slave 6
        expect_slave 7
        finish
        irq_routines
        lines_routines
