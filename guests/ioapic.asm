; The 82093AA I/O APIC and what comes of it at the local APIC, on input 4, the UART's line. Stays in
; real mode, with FS over all of memory. A machine without an I/O APIC is not judged. Each bit of EBX
; takes away what one clause is about: the control.
;
; Sources: Intel 82093AA (290566-001), 3.1 and 3.2; Intel SDM volume 3, 11.6 and 11.8.
%include "ringfence.inc"
IOREGSEL        equ 0xfec00000
IOWIN           equ 0xfec00010
LAPIC           equ 0xfee00000
LAPIC_ID        equ LAPIC + 0x20
LAPIC_EOI       equ LAPIC + 0xb0
LAPIC_LDR       equ LAPIC + 0xd0
LAPIC_SVR       equ LAPIC + 0xf0
LAPIC_TMR       equ LAPIC + 0x180
LAPIC_IRR       equ LAPIC + 0x200
LAPIC_LINT0     equ LAPIC + 0x350
ID              equ 0
VERSION         equ 1
ARBITRATION     equ 2
ENTRIES         equ 24
%define LOW(n)  (0x10 + 2*(n))
%define HIGH(n) (0x11 + 2*(n))
MASKED          equ 1 << 16
LEVEL           equ 1 << 15
REMOTE_IRR      equ 1 << 14
ACTIVE_LOW      equ 1 << 13
PENDING         equ 1 << 12             ; delivery status
LOGICAL         equ 1 << 11
VECTOR          equ 0x54
OTHER           equ 0xc9

        absolute guest_data
own_id  resd 1
control resd 1
count   resb 1
vector  resb 1                          ; of the last interrupt
lower   resb 1                          ; the line goes down in the interrupt of this number
        resb 1
entry   resd 1                          ; as the handler saw it before its EOI
trigger resd 1                          ; TMR
        section .text

; register, value
%macro put 2.nolist
        mov     dword [fs:dword IOREGSEL], %1
        mov     dword [fs:dword IOWIN], %2
%endmacro
; register, to EAX
%macro get 1.nolist
        mov     dword [fs:dword IOREGSEL], %1
        mov     eax, [fs:dword IOWIN]
%endmacro
; NUMBER, register, value, value in the control
%macro choose 4.nolist
        mov     %2, %3
        test    dword [control], 1 << (%1)
        jz      %%chosen
        mov     %2, %4
%%chosen:
%endmacro
; CLAUSE, register, MASK, EXPECTED
%macro expect_get 4.nolist
        get     %2
        expect_reg %1, eax, %3, %4
%endmacro
%macro line_high 0.nolist
        out8    0x3f9, 2
%endmacro
%macro line_low 0.nolist
        out8    0x3f9, 0
%endmacro
; CLAUSE, VECTOR, 0 or 1: whether it waits in the local APIC (IF is clear)
%macro expect_waits 3.nolist
        mov     eax, [fs:dword LAPIC_IRR + ((%2) >> 5)*16]
        expect_reg %1, eax, 1 << ((%2) & 31), (%3) << ((%2) & 31)
%endmacro
; CLAUSE, interrupts since the last time
%macro expect_taken 2.nolist
        call    take
        expect_mem8 %1, [count], 0xff, %2
        mov     byte [count], 0
%endmacro

        guest   ioapic
        mov     [control], ebx
        out8    0x21, 0xff              ; nothing by way of the 8259
        out8    0xa1, 0xff
        call    wide_fs
        get     VERSION
        cmp     eax, 0xffffffff
        jne     present
        not_judged ioapic.version, no_ioapic
        finish

present:
; 3.2.4: bit 16 of every entry is 1 after reset
        choose  0, eax, MASKED, 0
        put     LOW(ENTRIES-1), eax
        mov     ecx, ENTRIES
        mov     ebx, LOW(0)
        mov     edi, MASKED
.entry: get     ebx
        and     edi, eax
        add     ebx, 2
        a32 loop .entry
        expect_reg ioapic.reset_masked, edi, MASKED, MASKED

; 3.1.1: IOREGSEL has 8 bits, which read back
        mov     dword [fs:dword IOREGSEL], 0x2a
        mov     eax, [fs:dword IOREGSEL]
        expect_reg ioapic.select, eax, 0xff, 0x2a
        choose  1, ebx, 0x15, 0x16
        mov     dword [fs:dword IOREGSEL], ebx
        mov     eax, [fs:dword IOREGSEL]
        expect_reg ioapic.select, eax, 0xff, 0x15

; 3.2.1: bits 24-27
        choose  2, ebx, ID, VERSION
        put     ebx, 0x0a000000
        expect_get ioapic.id, ebx, 0x0f000000, 0x0a000000
        put     ebx, 0x05000000
        expect_get ioapic.id, ebx, 0x0f000000, 0x05000000
; 3.2.3: loaded by a write of the ID, read-only
        choose  3, ebx, 0x05000000, 0x06000000
        put     ID, ebx
        expect_get ioapic.arbitration, ARBITRATION, 0x0f000000, 0x05000000
        put     ARBITRATION, 0x0a000000
        expect_get ioapic.arbitration, ARBITRATION, 0x0f000000, 0x05000000
        put     ID, 0
        expect_get ioapic.arbitration, ARBITRATION, 0x0f000000, 0x00000000
; 3.2.2: read-only, version 11h, the last entry is 17h
        choose  4, ebx, VERSION, ID
        expect_get ioapic.version, ebx, 0x000000ff, 0x00000011
        expect_get ioapic.last_entry, ebx, 0x00ff0000, 0x00170000
        put     ebx, 0xffffffff
        expect_get ioapic.last_entry, ebx, 0x00ff0000, 0x00170000
        put     ID, 0

; 3.2.4: what can be written reads back, in the last entry and in no other. Masked, or to nobody.
        put     LOW(ENTRIES-2), MASKED
        put     HIGH(ENTRIES-2), 0
        choose  5, ebx, LOW(ENTRIES-1), LOW(ENTRIES-2)
        put     ebx, MASKED | 0x2a55
        expect_get ioapic.redirection, LOW(ENTRIES-1), 0x1afff, MASKED | 0x2a55
        put     ebx, MASKED | 0x85aa
        expect_get ioapic.redirection, LOW(ENTRIES-1), 0x1afff, MASKED | 0x85aa
        put     ebx, 0x00000055
        expect_get ioapic.redirection, LOW(ENTRIES-1), 0x1afff, 0x00000055
        put     HIGH(ENTRIES-1), 0xa5000000
        expect_get ioapic.redirection, HIGH(ENTRIES-1), 0xff000000, 0xa5000000
        put     HIGH(ENTRIES-1), 0x5a000000
        expect_get ioapic.redirection, HIGH(ENTRIES-1), 0xff000000, 0x5a000000
        expect_get ioapic.redirection, LOW(ENTRIES-1), 0x1afff, 0x00000055
        expect_get ioapic.redirection, LOW(ENTRIES-2), 0x1afff, MASKED
        expect_get ioapic.redirection, HIGH(ENTRIES-2), 0xff000000, 0x00000000
        put     LOW(ENTRIES-1), MASKED

; From here on the local APIC is enabled: SVR bit 8, LINT0 masked.
        mov     dword [fs:dword LAPIC_SVR], 0x1ff
        mov     dword [fs:dword LAPIC_LINT0], MASKED
        mov     eax, [fs:dword LAPIC_ID]
        and     eax, 0xff000000
        mov     [own_id], eax
        mov     word [VECTOR*4], handler
        mov     word [VECTOR*4+2], IMAGE_SEGMENT
        mov     word [OTHER*4], other_handler
        mov     word [OTHER*4+2], IMAGE_SEGMENT
        mov     dword [count], 0
        out8    0x3fc, 8                ; OUT2 opens the UART's gate
        line_low
        mov     eax, [own_id]
        put     HIGH(4), eax

; 3.2.4, trigger mode. Edge: once for each rise.
        choose  6, ebx, VECTOR, LEVEL | VECTOR
        put     LOW(4), ebx
        line_high
        expect_waits ioapic.edge, VECTOR, 1
        mov     byte [lower], 2
        expect_taken ioapic.edge, 1
        expect_taken ioapic.edge, 0
        expect_mem32 ioapic.edge, [trigger], 1 << (VECTOR & 31), 0
        line_low
        line_high
        expect_taken ioapic.edge, 1
        line_low
; Level: again after the EOI as long as the line is high
        choose  7, ebx, LEVEL | VECTOR, VECTOR
        put     LOW(4), ebx
        line_high
        expect_waits ioapic.level, VECTOR, 1
        expect_taken ioapic.level, 2
        expect_taken ioapic.level, 0
        expect_mem32 ioapic.level, [trigger], 1 << (VECTOR & 31), 1 << (VECTOR & 31)

; 3.2.4, Remote IRR: set when a local APIC accepts, cleared by its EOI, read-only
        choose  8, ebx, LEVEL | VECTOR, VECTOR
        put     LOW(4), ebx
        expect_get ioapic.remote_irr, LOW(4), REMOTE_IRR, 0
        line_high
        expect_get ioapic.remote_irr, LOW(4), REMOTE_IRR, REMOTE_IRR
        put     LOW(4), ebx
        expect_get ioapic.remote_irr, LOW(4), REMOTE_IRR, REMOTE_IRR
; and where nothing is accepted, neither it nor the delivery status can be set
        choose  9, ecx, LOW(ENTRIES-1), LOW(4)
        put     ecx, MASKED | LEVEL | REMOTE_IRR | PENDING
        expect_get ioapic.read_only, ecx, REMOTE_IRR | PENDING, 0
        mov     byte [lower], 1
        expect_taken ioapic.remote_irr, 1
        expect_mem32 ioapic.remote_irr, [entry], REMOTE_IRR, REMOTE_IRR
        expect_get ioapic.remote_irr, LOW(4), REMOTE_IRR, 0

; 3.2.4, mask: an edge on a masked input is ignored
        choose  10, ebx, MASKED | VECTOR, VECTOR
        put     LOW(4), ebx
        line_high
        put     LOW(4), VECTOR
        expect_waits ioapic.mask_edge, VECTOR, 0
        expect_taken ioapic.mask_edge, 0
        line_low
        line_high
        expect_taken ioapic.mask_edge, 1
        line_low
; A level waits for the mask to go. Masking it behind its acceptance has no effect.
        choose  11, ebx, MASKED | LEVEL | VECTOR, LEVEL | VECTOR
        put     LOW(4), ebx
        line_high
        expect_waits ioapic.mask_level, VECTOR, 0
        put     LOW(4), LEVEL | VECTOR
        expect_waits ioapic.mask_level, VECTOR, 1
        put     LOW(4), MASKED | LEVEL | VECTOR
        expect_taken ioapic.mask_level, 1
        expect_taken ioapic.mask_level, 0

; 3.2.4, vector
        choose  12, ebx, OTHER, VECTOR
        put     LOW(4), ebx
        line_high
        expect_waits ioapic.vector, OTHER, 1
        expect_waits ioapic.vector, VECTOR, 0
        call    take
        expect_mem8 ioapic.vector, [vector], 0xff, OTHER
        mov     byte [count], 0
        line_low

; 3.2.4, destination: an APIC ID, and nobody else's
        mov     eax, [own_id]
        xor     eax, 0x0e000000
        choose  13, ebx, eax, [own_id]
        put     HIGH(4), ebx
        put     LOW(4), VECTOR
        line_high
        expect_taken ioapic.destination, 0
        line_low
        mov     eax, [own_id]
        put     HIGH(4), eax
        line_high
        expect_taken ioapic.destination, 1
        line_low
; logical: one of the bits of the LDR (SDM volume 3, 11.6.2.2, flat model)
        mov     dword [fs:dword LAPIC_LDR], 0x04000000
        put     LOW(4), LOGICAL | VECTOR
        put     HIGH(4), 0x03000000
        line_high
        expect_taken ioapic.logical, 0
        line_low
        choose  14, ebx, 0x06000000, 0x02000000
        put     HIGH(4), ebx
        line_high
        expect_taken ioapic.logical, 1
        line_low
; delivery mode 1: to the one of lowest priority among them, which is this one alone
        choose  15, ebx, LOGICAL | 1 << 8 | VECTOR, MASKED | LOGICAL | 1 << 8 | VECTOR
        put     LOW(4), ebx
        put     HIGH(4), 0x04000000
        line_high
        expect_taken ioapic.lowest_priority, 1
        line_low

; 3.2.4, polarity: low active, on a line that is low, then on one that is high
        mov     byte [lower], 0
        mov     eax, [own_id]
        put     HIGH(4), eax
        put     LOW(4), ACTIVE_LOW | LEVEL | VECTOR
        expect_waits ioapic.polarity, VECTOR, 1
        put     LOW(4), MASKED | LEVEL | VECTOR
        call    take
        line_high
        put     LOW(4), ACTIVE_LOW | LEVEL | VECTOR
        expect_waits ioapic.polarity, VECTOR, 0
        put     LOW(4), MASKED | LEVEL | VECTOR
        line_low
        call    take
        finish

; Interrupts may come. A KVM that emulates looks for them at an exit alone, which a write to port 0x80
; is. With one in front, and one in the handler, every machine has the same accesses once what
; repeats itself is taken out (`ringfence diff`).
take:   mov     cx, 8
        mov     al, 0
        out     0x80, al
        sti
.wait:  nop
        out     0x80, al
        loop    .wait
        cli
        ret
other_handler:
        mov     byte [vector], OTHER
        jmp     handle
handler:
        mov     byte [vector], VECTOR
handle: push    eax
        push    dx
        mov     al, 0
        out     0x80, al
        get     LOW(4)
        mov     [entry], eax
        mov     eax, [fs:dword LAPIC_TMR + (VECTOR >> 5)*16]
        mov     [trigger], eax
        inc     byte [count]
        mov     al, [count]
        cmp     al, [lower]
        jne     .eoi
        line_low
.eoi:   mov     dword [fs:dword LAPIC_EOI], 0
        pop     dx
        pop     eax
        iret
; FS with base 0 and a limit of 4 GiB, which it keeps back in real mode (SDM volume 3, 9.9.2).
wide_fs:
        o32 lgdt [cs:wide_gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     short .protected
.protected:
        mov     dx, 8
        mov     fs, dx
        and     al, 0xfe
        mov     cr0, eax
        jmp     short .real
.real:  ret
        align   8
wide_gdt:
        dq      0, 0x00cf93000000ffff
wide_gdt_pointer:
        dw      15
        dd      IMAGE_BASE + wide_gdt
