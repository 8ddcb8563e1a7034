; 8254: 1.193182 MHz against the time stamp counter, where the machine says how fast that is (CPUID
; leaf 0x40000010, EAX in kHz). Only for a machine whose device time is real time.
%include "pit.inc"
        guest   pit_frequency
        irq_setup
        mov     eax, 0x40000000
        cpuid
        cmp     eax, 0x40000010
        jb      .unknown
        cmp     eax, 0x400000ff
        ja      .unknown
        mov     eax, 0x40000010
        cpuid
        test    eax, eax
        jz      .unknown
        mov     [guest_data], eax
        gate    1
        pit2    0xb4, 0
        polls   2
        mov     byte [guest_data+4], 5
.again: rdtsc
        mov     [guest_data+8], eax
        mov     [guest_data+12], edx
        pit2_latch
        mov     [guest_data+16], ax
        sleep_us 30000
        rdtsc
        sub     eax, [guest_data+8]
        sbb     edx, [guest_data+12]
        mov     [guest_data+20], eax
        pit2_latch
        mov     bx, [guest_data+16]
        sub     bx, ax
        movzx   ebx, bx
        imul    ebx, ebx, 1000
        cmp     ebx, 10000000           ; 30 ms are 35795 ticks; with none nothing can be divided
        jb      .none
        mov     ecx, 1193182
        mov     eax, [guest_data+20]
        mul     ecx
        div     ebx                     ; TSC clocks in a millisecond of 1193.182 ticks
        mov     ecx, 1000
        mul     ecx
        div     dword [guest_data]      ; thousandths of what is said
        mov     ebx, eax
        cmp     eax, 980
        jb      .retry
        cmp     eax, 1020
        jbe     .judge
.retry: dec     byte [guest_data+4]
        jnz     .again
.judge: expect_range pit.frequency, ebx, 980, 1020
        measure pit.tsc_thousandths, ebx
        finish
.none:  xor     ebx, ebx
        jmp     .retry
.unknown:
        not_judged pit.frequency, tsc_unknown
        finish
        irq_routines
