; Climbs by itself from real through protected to long mode (SDM vol. 3, 9.8.5), and tries two wrong
; orders on the way, in protected mode, each of which is #GP, where BL has 16. Each other bit of BL
; takes away what one clause is about: the control.
%include "ringfence.inc"
EFER    equ 0xc0000080
PML4    equ 0x70000
IDT     equ 0x8000
        absolute guest_data
faulted resb 1
        resb 3
resume  resd 1
stack   resd 1
        section .text
; In protected mode: goes on behind the instruction, whether it faulted or not.
%macro try32 1+.nolist
        mov     byte [faulted], 0
        mov     dword [resume], %%after
        mov     [stack], esp
        %1
%%after:
%endmacro
        guest   cpu_climb
        test    bl, 4
        jz      .wide
        mov     byte [gdt+8+6], 0x8f    ; control: a code segment of 16 bit
.wide:  test    bl, 8
        jz      .long
        mov     byte [gdt+24+6], 0xcf   ; control: one of 32 bit where 64 is meant
.long:  lgdt    [gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 8:protected

; The same bytes in 16 and in 32 bit code: mov eax, 0x90900005 or mov ax, 5 and two NOPs; then the
; upper half, which is 0 in 16 bit.
        bits    32
protected:
        db      0xb8, 0x05, 0x00, 0x90, 0x90
        db      0xc1, 0xe8, 0x10        ; shr eax/ax, 16
        db      0x85, 0xc0              ; test eax, eax or ax, ax
        db      0x74, narrow-$-2        ; jz
        jmp     protected32
        bits    16
narrow: mov     ax, 16
        mov     ds, ax
        mov     es, ax
        fail    cpu.climb_protected
        finish

        bits    32
        report_routines
protected32:
        mov     ax, 16
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        pass    cpu.climb_protected
        test    bl, 16
        jz      near .in_order
        mov     edi, IDT
        xor     eax, eax
        mov     ecx, 14*2
        rep     stosd
        mov     eax, gp
        mov     [IDT+13*8], ax
        mov     word [IDT+13*8+2], 8
        mov     word [IDT+13*8+4], 0x8e00
        lidt    [idt_pointer]
        mov     ecx, EFER
        rdmsr
        or      eax, 1 << 8             ; LME
        wrmsr
        mov     eax, cr0
        test    bl, 1
        jnz     .no_pae
        or      eax, 0x80000000         ; PG, while CR4.PAE is clear
.no_pae: try32  mov cr0, eax
        expect_mem8 cpu.climb_pg_without_pae, [faulted], 0xff, 13
        mov     eax, cr4
        or      eax, 1 << 5             ; PAE
        mov     cr4, eax
        mov     eax, cr0
        test    bl, 2
        jnz     .no_pe
        or      eax, 0x80000000         ; PG, and PE goes
        and     al, ~1
.no_pe: try32   mov cr0, eax
        expect_mem8 cpu.climb_pg_without_pe, [faulted], 0xff, 13
.in_order:
        mov     eax, cr4                ; PAE before LME: QEMU's TCG beneath KVM hangs with LME alone
        or      eax, 1 << 5
        mov     cr4, eax
        mov     ecx, EFER
        rdmsr
        or      eax, 1 << 8
        wrmsr
        mov     edi, PML4
        xor     eax, eax
        mov     ecx, 3*1024
        rep     stosd
        mov     dword [PML4], PML4+0x1003
        mov     dword [PML4+0x1000], PML4+0x2003
        mov     dword [PML4+0x2000], 0x83
        mov     eax, PML4
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 0x80000000
        mov     cr0, eax
        jmp     24:long_mode
; #GP; never returns, since it may come where IRET is not there yet.
gp:     mov     esp, [stack]
        mov     byte [faulted], 13
        jmp     [resume]
; inc rax in 64 bit code; dec eax, inc eax in 32.
long_mode: db      0x31, 0xc0, 0x48, 0xff, 0xc0
        db      0x85, 0xc0              ; test eax, eax
        db      0x75, long64-$-2        ; jnz
        fail    cpu.climb_long
        finish
        bits    64
long64: jmp     near climbed
        report_routines
climbed:
        mov     rax, 0x1122334455667788
        shr     rax, 32
        expect_reg cpu.climb_long, rax, -1, 0x11223344
        finish

        align   8
gdt:    dq      0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00af9a000000ffff
gdt_pointer:
        dw      31
        dd      gdt
idt_pointer:
        dw      14*8-1
        dd      IDT
