; Ends: BL 1 halts with interrupts off, 2 faults until nothing is left (no IDT), anything
; else comes to the exit port.
%include "ringfence.inc"
        bits    64
        guest   exit_end
        cmp     bl, 1
        je      halts
        cmp     bl, 2
        je      faults
        pass    exit.port
        finish
halts:  cli
        hlt
        jmp     halts
faults: lidt    [no_table]
        ud2
no_table:
        dw      0
        dq      0
