; The small ports: 0x80, 0xE9, the ACPI PM timer at 0x608, and the exit port 0xF4.
%include "pit.inc"
PM_TIMER        equ 0x608
        guest   platform
        irq_setup
%ifdef FIRMWARE
; PIIX4 function 3 is bus 0, device 1: PMBA 0x600, PMREGMISC bit 0 (82371AB, 7.2)
        out32   0xcf8, 0x80000b40
        out32   0xcfc, 0x601
        out32   0xcf8, 0x80000b80
        out8    0xcfc, 1
%endif

; port 0x80: a write takes time and does nothing; it keeps what was written (82371AB: a DMA page register)
        gate    1
        pit2    0xb4, 0
        polls   2
        pit2_latch
        mov     bx, ax
        mov     al, 0x55
        polls   50
        pit2_latch
        sub     bx, ax
        expect_range platform.port80, bx, 4, 0xffff
        out8    0x80, 0x55
        expect_in8 platform.port80, 0x80, 0xff, 0x55
        out8    0x80, 0xaa
        expect_in8 platform.port80, 0x80, 0xff, 0xaa

; the debug console says what it is
        expect_in8 platform.debug_console, 0xe9, 0xff, 0xe9

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

; the exit port: this run ends by it. A machine that goes on behind it has none (see report.inc).
        pass    platform.exit_port
        finish
        irq_routines
