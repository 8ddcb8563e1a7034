; Whether an accelerator carries a kernel: a firmware image that runs what the start of a kernel runs,
; and ends with a code in the port of isa-debug-exit (harness/kernels/accelerator.cc knows them).
;
; First its speed: 40,000 instructions of protected mode against the PIT's second channel, in the best of
; eight rounds, since the machine may be busy. Where the core of the guest is emulated one instruction at a
; time (about 700 ns each), a kernel takes minutes to unpack itself. Then an INT and its IRETQ in
; long mode.
%include "image.inc"
EXIT_PORT   equ 0xf4
CARRIES     equ 0x10
TOO_SLOW    equ 0x11
LOOPS       equ 20000           ; of two instructions
MOST_TICKS  equ 4773            ; of 838 ns: 4 ms, 100 ns an instruction
ROUNDS      equ 8
PML4        equ 0x10000
IDT         equ 0x20000
STACK       equ 0x30000
%define LINEAR(label) (IMAGE_BASE + (label))

        image_entry
        cli
        o32 lgdt [cs:gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 8:LINEAR(protected)

        bits    32
protected:
        mov     eax, 16
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     esp, STACK
        mov     ebx, ROUNDS
round:  in      al, 0x61
        and     al, 0xfc
        or      al, 1           ; the second channel's gate
        out     0x61, al
        mov     al, 0xb0        ; mode 0, both bytes
        out     0x43, al
        mov     al, 0xff
        out     0x42, al
        out     0x42, al
        mov     ecx, LOOPS
turn:   dec     ecx
        jnz     turn
        in      al, 0x61
        test    al, 0x20        ; its output: it has run out
        jnz     next_round
        mov     al, 0x80        ; latch
        out     0x43, al
        in      al, 0x42
        movzx   edx, al
        in      al, 0x42
        mov     dh, al
        xor     edx, 0xffff
        cmp     edx, MOST_TICKS
        jb      fast
next_round:
        dec     ebx
        jnz     round
        mov     al, TOO_SLOW
        out     EXIT_PORT, al
        jmp     $

fast:   mov     edi, PML4
        xor     eax, eax
        mov     ecx, 3*1024
        rep     stosd
        mov     dword [PML4], PML4+0x1003
        mov     dword [PML4+0x1000], PML4+0x2003
        mov     dword [PML4+0x2000], 0x83       ; 2 MiB
        mov     word [IDT+0x80*16], handler
        mov     word [IDT+0x80*16+2], 24
        mov     word [IDT+0x80*16+4], 0x8e00
        mov     word [IDT+0x80*16+6], IMAGE_BASE >> 16
        mov     dword [IDT+0x80*16+8], 0
        mov     dword [IDT+0x80*16+12], 0
        mov     eax, cr4
        or      eax, 1 << 5                     ; PAE
        mov     cr4, eax
        mov     ecx, 0xc0000080                 ; EFER
        rdmsr
        or      eax, 1 << 8                     ; LME
        wrmsr
        mov     eax, PML4
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 0x80000000
        mov     cr0, eax
        jmp     24:LINEAR(long_mode)

        bits    64
long_mode:
        mov     rsp, STACK
        lidt    [LINEAR(idt_pointer)]
        xor     ebx, ebx
        int     0x80
        out     EXIT_PORT, al
        jmp     $
handler:
        mov     al, CARRIES
        iretq

        align   8
; Accessed already: the table lies in memory that cannot be written.
gdt:    dq      0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdt_pointer:
        dw      31
        dd      LINEAR(gdt)
idt_pointer:
        dw      0x81*16-1
        dq      IDT
