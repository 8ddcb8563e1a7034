; 8254: how counts are written and read: bytes, BCD, zero, latch, read-back, the null-count bit.
%include "pit.inc"
        guest   pit_access
        gate    0

; "Control Word Format", RW1 and RW0. With the gate low the count stands as it was loaded.
        pit2    0xb0, 0x55aa
        polls   4
        pit2_read
        expect_reg pit.access, ax, 0xffff, 0x55aa
        pit2_read
        expect_reg pit.access, ax, 0xffff, 0x55aa
        pit2    0xb0, 0xaa55
        polls   4
        expect_count pit.access, 0xaa55
        out8    0x43, 0x90              ; LSB only; the other byte is 0
        out8    PIT2, 0x56
        polls   4
        expect_in8 pit.access, PIT2, 0xff, 0x56
        expect_in8 pit.access, PIT2, 0xff, 0x56
        out8    0x43, 0xa0              ; MSB only
        out8    PIT2, 0x12
        polls   4
        expect_in8 pit.access, PIT2, 0xff, 0x12
        expect_in8 pit.access, PIT2, 0xff, 0x12
        gate    1                       ; 0x1200 and not 0x12xx: soon in the next page
        polls   4
        gate    0
        expect_in8 pit.access, PIT2, 0xff, 0x11
        pit2    0xb0, 0x7000
        out8    0x43, 0x90              ; 0x0040 and not 0x7040: ends
        out8    PIT2, 0x40
        gate    1
        mov     cx, 2000
.ends:  in      al, 0x61
        test    al, 0x20
        loopz   .ends
        expect_out pit.access, 1
        gate    0

; In mode 0 the first byte of two stops the counter, the second loads.
        gate    1
        pit2    0xb0, 0x8000
        polls   4
        out8    PIT2, 0x34
        pit2_latch
        mov     bx, ax
        polls   20
        pit2_latch
        movzx   eax, ax
        movzx   ebx, bx
        expect_equal pit.mode0_halt, eax, ebx
        expect_range pit.mode0_halt, bx, 0x4000, 0x8000
        gate    0
        out8    PIT2, 0x12
        polls   4
        expect_count pit.mode0_halt, 0x1234

; "Counter Latch Command": a second one before the read is ignored; after it the count is read
        pit2    0xb4, 0x8000
        polls   4
        out8    0x43, 0x80
        gate    1
        polls   20
        gate    0
        out8    0x43, 0x80
        pit2_read
        expect_reg pit.latch, ax, 0xffff, 0x8000
        pit2_read
        expect_range pit.latch, ax, 0x4000, 0x7fff
        movzx   ebx, ax
        out8    0x43, 0x80              ; and held while the counter goes on
        gate    1
        polls   20
        pit2_read
        movzx   eax, ax
        expect_equal pit.latch, eax, ebx
        gate    0

; "Read-Back Command": count, status, both; the status comes first
        pit2    0xb8, 0x1357
        polls   4
        out8    0x43, 0xd8              ; count
        pit2_read
        expect_reg pit.readback, ax, 0xffff, 0x1357
        out8    0x43, 0xe8              ; status
        expect_in8 pit.readback, PIT2, 0xff, 0xb8
        pit2_read
        expect_reg pit.readback, ax, 0xffff, 0x1357
        out8    0x43, 0xc8              ; both
        expect_in8 pit.readback, PIT2, 0xff, 0xb8
        pit2_read
        expect_reg pit.readback, ax, 0xffff, 0x1357
        pit2_read
        expect_reg pit.readback, ax, 0xffff, 0x1357
        out8    0x43, 0xc8              ; a second one is ignored, for the status and for the count
        gate    1
        polls   20
        gate    0
        out8    0x43, 0xc8
        expect_in8 pit.readback, PIT2, 0xff, 0xb8
        pit2_read
        expect_reg pit.readback, ax, 0xffff, 0x1357
        pit2    0xb0, 0x2468            ; and by the counter's number alone
        polls   4
        out8    0x43, 0xe8              ; status: OUT low
        pit2    0xb4, 0x2468            ; a control word undoes nothing that was latched but the count
        out8    0x43, 0xcc              ; nothing is latched again in counter 2; counter 1 is
        in      al, PIT2
        out8    0x43, 0x34
        out8    0x40, 0
        out8    0x40, 0
        pit0_latch
        mov     bx, ax
        out8    0x43, 0xd8
        polls   200
        pit0_latch
        sub     bx, ax
        expect_range pit.readback, bx, 16, 0xffff
        pit2_read
; the status of each programming
%assign mode 0
%rep 6
%assign rw 1
%rep 3
        out8    0x43, 0x80 | (rw << 4) | (mode << 1) | (mode & 1)
        expect_status pit.readback, 0x3f, (rw << 4) | (mode << 1) | (mode & 1)
%assign rw rw+1
%endrep
%assign mode mode+1
%endrep
        out8    0x43, 0xbc              ; "exactly as it was programmed"
        expect_status pit.readback, 0x3f, 0x3c

; "Null Count": from the control word or the count until the count is loaded
        out8    0x43, 0xb2
        expect_status pit.null_count, 0x40, 0x40
        out8    PIT2, 0x00
        out8    PIT2, 0x10
        polls   4
        expect_status pit.null_count, 0x40, 0x40        ; mode 1: with the trigger
        gate    1
        polls   4
        expect_status pit.null_count, 0x40, 0x00
        out8    PIT2, 0x00
        out8    PIT2, 0x20
        polls   4
        expect_status pit.null_count, 0x40, 0x40
        gate    0
        gate    1
        polls   4
        expect_status pit.null_count, 0x40, 0x00
        pit2    0xb4, 0x8000
        polls   4
        expect_status pit.null_count, 0x40, 0x00
        out8    0x43, 0xb4
        expect_status pit.null_count, 0x40, 0x40

; "BCD": four decades. 0x0100 goes to 0x0099; of units every digit and nothing else
        gate    0
        pit2    0xb5, 0x0100
        polls   4
        expect_count pit.bcd, 0x0100
        expect_pairs pit.bcd, start_bcd, AT(9,1) | AT(8,1) | AT(7,1) | AT(6,1) | AT(5,1) | AT(4,1) | AT(3,1) | AT(2,1) | AT(1,0), 0
        gate    0
        pit2    0xb1, 0x1000
        gate    1
        polls   20
        gate    0
        pit2_latch
        expect_range pit.bcd, ax, 0x0001, 0x0999
        out8    0x43, 0xb5
        expect_status pit.bcd, 0x3f, 0x35

; 0 is the largest count: 65536, in BCD 10000
        gate    0
        pit2    0xb0, 0
        polls   4
        expect_count pit.count_zero, 0
        gate    1
        polls   20
        gate    0
        expect_out pit.count_zero, 0
        pit2_latch
        expect_range pit.count_zero, ax, 0x8000, 0xffff
        pit2    0xb1, 0
        polls   4
        expect_count pit.count_zero, 0
        gate    1
        polls   20
        gate    0
        expect_out pit.count_zero, 0
        pit2_latch
        expect_range pit.count_zero, ax, 0x5000, 0x9999
        finish

start_bcd:
        pit2    0xb5, 0x0010
        gate    0
        gate    1
        ret
        pairs_routine
