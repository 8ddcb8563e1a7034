; 8254: the gate, the output at port 0x61, and IRQ 0.
%include "pit.inc"
%ifdef FIRMWARE
TICK_POLLS      equ 60000               ; looks are quick and timers slow in an emulator
%else
TICK_POLLS      equ 3000
%endif
        guest   pit_gate
        irq_setup

; "Gate Pin Operations Summary": low stops counting in modes 0, 2, 3 and 4, and it goes on with high
%assign mode 0
%rep 5
%if mode != 1
        gate    1
        pit2    0xb0 | (mode << 1), 0x8000
        polls   10
        gate    0
        pit2_latch
        movzx   ebx, ax
        polls   20
        pit2_latch
        movzx   eax, ax
        expect_equal pit.gate_freeze, eax, ebx
        expect_range pit.gate_freeze, bx, 0x2000, 0x7ffe
%if mode == 0 || mode == 4
        gate    1
        polls   20
        gate    0
        pit2_latch
        sub     bx, ax
        expect_range pit.gate_freeze, bx, 1, 0x4000
%else
        expect_out pit.gate_freeze, 1
        gate    1                       ; modes 2 and 3: a rise begins a new period
        polls   2
        gate    0
        pit2_latch
        expect_range pit.gate_freeze, ax, 0x7000, 0x8000
%endif
%endif
%assign mode mode+1
%endrep
; in modes 2 and 3 low sets the output high at once
        gate    1
        pit2    0xb6, 2000
        wait_out 0
        expect_out pit.gate_freeze, 0
        gate    0
        expect_out pit.gate_freeze, 1

; a rise of the gate restarts modes 1 and 5
%assign mode 1
%rep 2
        gate    0
        pit2    0xb0 | (mode << 1), 0x8000
        gate    1
        polls   100
        pit2_latch
        movzx   ebx, ax
        expect_range pit.gate_trigger, bx, 0x1000, 0x7fe0
        gate    0
        gate    1
        polls   4
        pit2_latch
        movzx   eax, ax
        cmp     eax, ebx
        expect_cc pit.gate_trigger, a
        expect_status pit.gate_trigger, 0xff, 0x30 | (mode << 1) | ((mode & 4) << 5)
%assign mode 5
%endrep
        pit2    0xb2, 40                ; and the output: low again after it was high
        gate    0
        gate    1
        wait_out 0
        wait_out 1
        expect_out pit.gate_trigger, 1
        pit2    0xb2, 0x8000
        gate    0
        gate    1
        polls   4
        expect_out pit.gate_trigger, 0

; port 0x61: gate and speaker read back, OUT2, the refresh toggle
        out8    0x61, 0x02
        expect_in8 pit.output, 0x61, 0x0f, 0x02
        out8    0x61, 0x0d
        expect_in8 pit.output, 0x61, 0x0f, 0x0d
        out8    0x61, 0x00
        expect_in8 pit.output, 0x61, 0xcf, 0x00
        out8    0x43, 0xb0
        expect_out pit.output, 0
        out8    0x43, 0xb4
        expect_out pit.output, 1
        out8    0x43, 0x30              ; counter 0 does not show there
        expect_out pit.output, 1
        mov     cx, 20000
.rise:  in      al, 0x61
        test    al, 0x10
        loopz   .rise
        expect_al pit.output, 0x61, 0x10, 0x10
        mov     cx, 20000
.fall:  in      al, 0x61
        test    al, 0x10
        loopnz  .fall
        expect_al pit.output, 0x61, 0x10, 0x00
; counter 0's output is IRQ 0: one interrupt for one rise
        gate    0
        out8    0x43, 0x30
        irq_unmask 0
        irq_forget
        out8    0x40, 100
        out8    0x40, 0
        expect_irq pit.output, 0, TICK_POLLS
        expect_no_irq pit.output, 0, 200
        out8    0x43, 0x34              ; mode 2: one for each period
        out8    0x40, 200
        out8    0x40, 0
        irq_forget
        mov     word [abi_irq_log_n], 0
        mov     cx, TICK_POLLS
.three: sti
        nop
        out     0x80, al
        nop
        cli
        cmp     byte [abi_irq_count], 3
        jae     .came
        loop    .three
.came:  mov     al, [abi_irq_count]
        expect_range pit.output, al, 3, 255
        finish
        irq_routines
