; 8254: the six modes and their two aliases, by pairs of count and output at the same instant.
%include "pit.inc"
        guest   pit_modes
        gate    1

; 8254 data sheet, "Mode Definitions". Mode 0: low until the count is 0, then high; counts on.
        out8    0x43, 0xb0
        expect_out pit.mode0, 0
        expect_pairs pit.mode0, start0, AT(0,1) | AT(1,0), ONE_SHOT_LOW | AT(-1,1)
        pit2    0xb0, 4
        wait_out 1
        expect_out pit.mode0, 1
        polls   4
        pit2_latch
        expect_range pit.mode0, ax, 0x8000, 0xffff
        out8    PIT2, 0x00              ; a new count: low again, and counted
        out8    PIT2, 0x80
        expect_out pit.mode0, 0
        polls   4
        pit2_latch
        expect_range pit.mode0, ax, 0x4000, 0x8000

; Mode 1: low from the clock after a trigger until the count is 0.
        gate    0
        out8    0x43, 0xb2
        expect_out pit.mode1, 1
        expect_pairs pit.mode1, start1, AT(0,1) | AT(1,0), ONE_SHOT_LOW | AT(-1,1)
        gate    0
        pit2    0xb2, 0x8000
        polls   4
        expect_status pit.mode1, 0xff, 0xf2     ; not started by the count: OUT high, null count
        gate    1
        polls   4
        expect_status pit.mode1, 0xff, 0x32
        gate    0                       ; the level does not matter
        pit2_latch
        mov     bx, ax
        polls   20
        pit2_latch
        sub     bx, ax
        expect_range pit.mode1, bx, 1, 0x4000

; Mode 2: one clock low at count 1, then the count again.
        gate    1
        out8    0x43, 0xb4
        expect_out pit.mode2, 1
        expect_pairs pit.mode2, start2, AT(5,1) | AT(4,1) | AT(3,1) | AT(2,1) | AT(1,0), 0
        pit2    0xb4, 0x8000            ; a new count waits for the end of the period
        polls   4
        out8    PIT2, 0x00
        out8    PIT2, 0x01
        polls   4
        expect_status pit.mode2, 0x7f, 0x74
        pit2_latch
        expect_range pit.mode2, ax, 0x4000, 0x8000

; Mode 3, even: by two, half the time high.
        out8    0x43, 0xb6
        expect_out pit.mode3, 1
        expect_pairs pit.mode3, start3, AT(4,1) | AT(2,1) | AT(4,0) | AT(2,0), 0
        pit2    0xb6, 0x8000
        polls   4
        out8    PIT2, 0x00
        out8    PIT2, 0x01
        polls   4
        expect_status pit.mode3, 0x7f, 0x76
        pit2_latch
        expect_range pit.mode3, ax, 0x4000, 0x8000
; odd: (N+1)/2 clocks high, (N-1)/2 low, counted from N-1
        expect_pairs pit.mode3_odd, start3odd, AT(4,1) | AT(2,1) | AT(0,1) | AT(4,0) | AT(2,0), 0

; Mode 4: a strobe of one clock at 0, once; counts on.
        out8    0x43, 0xb8
        expect_out pit.mode4, 1
        expect_pairs pit.mode4, start4, AT(0,0) | AT(1,1) | AT(-1,1), ONE_SHOT_HIGH
        out8    0x43, 0x98              ; LSB only, 3; the second zero is 65536 clocks later
        out8    PIT2, 3
        polls   20
        expect_status pit.mode4, 0xff, 0x98

; Mode 5: the same after a trigger.
        gate    0
        out8    0x43, 0xba
        expect_out pit.mode5, 1
        expect_pairs pit.mode5, start5, AT(0,0) | AT(1,1) | AT(-1,1), ONE_SHOT_HIGH
        gate    0
        pit2    0xba, 0x8000
        polls   4
        expect_status pit.mode5, 0xff, 0xfa
        gate    1
        polls   4
        expect_status pit.mode5, 0xff, 0xba
        gate    0
        pit2_latch
        mov     bx, ax
        polls   20
        pit2_latch
        sub     bx, ax
        expect_range pit.mode5, bx, 1, 0x4000

; M2 is a don't care in modes 2 and 3: 6 is 2, 7 is 3.
        gate    1
        expect_pairs pit.mode_aliases, start6, AT(5,1) | AT(4,1) | AT(3,1) | AT(2,1) | AT(1,0), 0
        expect_pairs pit.mode_aliases, start7, AT(4,1) | AT(2,1) | AT(4,0) | AT(2,0), 0
        finish

start0: pit2    0xb0, 40
        ret
start1: pit2    0xb2, 40
        jmp     trigger
start2: pit2    0xb4, 5
        ret
start3: pit2    0xb6, 4
        ret
start3odd:
        pit2    0xb6, 5
        ret
start4: pit2    0xb8, 40
        ret
start5: pit2    0xba, 40
trigger:
        gate    0
        gate    1
        ret
start6: pit2    0xbc, 5
        ret
start7: pit2    0xbe, 4
        ret
        pairs_routine
