; The ACPI PM timer at 0x608: its rate against the PIT, its width, its bits.
%include "pit.inc"
PM_TIMER        equ 0x608
        guest   pm_timer
        irq_setup
        gate    1
        pit2    0xb4, 0
%ifdef FIRMWARE
; PIIX4 function 3 is bus 0, device 1: PMBA 0x600, PMREGMISC bit 0 (82371AB, 7.2)
        out32   0xcf8, 0x80000b40
        out32   0xcfc, 0x601
        out32   0xcf8, 0x80000b80
        out8    0xcfc, 1
%endif

; PM timer: 3.579545 MHz, three times the PIT's clock, and 24 bits or 32 (ACPI 6.5, 4.8.3.3). Read
; against the PIT over 20 ms; again where something came in between.
        mov     dword [guest_data], 5
.again: in32    PM_TIMER
        mov     [guest_data+4], eax
        pit2_latch
        mov     [guest_data+8], ax
        sleep_us 20000
        in32    PM_TIMER
        sub     eax, [guest_data+4]
        and     eax, 0xffffff
        mov     [guest_data+12], eax
        pit2_latch
        mov     bx, [guest_data+8]
        sub     bx, ax
        movzx   ebx, bx
        mov     eax, [guest_data+12]
        imul    eax, 1000
        xor     edx, edx
        div     ebx                     ; 3000 in thousandths
        mov     ebx, eax
        cmp     eax, 2970
        jb      .retry
        cmp     eax, 3030
        jbe     .judge
.retry: dec     dword [guest_data]
        jnz     .again
.judge: expect_range platform.pm_timer, ebx, 2970, 3030
        in32    PM_TIMER                ; it is read only, and goes on
        mov     ebx, eax
        out32   PM_TIMER, 0
        polls   10
        in32    PM_TIMER
        sub     eax, ebx
        and     eax, 0xffffff
        expect_range platform.pm_timer, eax, 1, 0x7fffff

; every bit of 24 is seen low and high within its period of 4.7 s, and none above them (82371AB: 24 bits)
        mov     dword [guest_data+16], 0        ; or of all
        mov     dword [guest_data+20], -1       ; and of all
        mov     dword [guest_data+24], 110
.bits:  in32    PM_TIMER
        or      [guest_data+16], eax
        and     [guest_data+20], eax
        polls   3
        in32    PM_TIMER
        or      [guest_data+16], eax
        and     [guest_data+20], eax
        mov     eax, [guest_data+16]
        and     eax, 0xffffff
        xor     eax, 0xffffff
        or      eax, [guest_data+20]
        jz      .seen
        sleep_us 45000
        dec     dword [guest_data+24]
        jnz     .bits
.seen:  mov     dword [guest_data+24], 54       ; past the first wrap
.wrap:  sleep_us 45000
        dec     dword [guest_data+24]
        jnz     .wrap
        in32    PM_TIMER
        or      [guest_data+16], eax
        expect_mem32 platform.pm_timer, [guest_data+16], 0xffffffff, 0x00ffffff
        expect_mem32 platform.pm_timer, [guest_data+20], 0xffffffff, 0x00000000
        finish
        irq_routines
