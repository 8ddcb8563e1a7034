"""What a transcript of the guest `ioapic` on KVM's own I/O APIC has to have, wherever it ran.

The accesses are told of by nobody but KVM's tracepoints, and the guest's program says what they have to be: the
registers as they were written, read back, and an interrupt with the entry's vector in front of each EOI: accepted
by the local APIC, and given to the processor, which a KVM that emulates its guests does not tell.
"""
IOREGSEL, IOWIN, EOI = 0xfec00000, 0xfec00010, 0xfee000b0
VERSION, VECTOR, OTHER = 1, 0x54, 0xc9
REMOTE_IRR, WRITABLE = 1 << 14, 0x1afff


def entries_of(text):
    """[(kind, address or vector, value)] of the lines that are about memory and interrupts."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[2] in ("mmio_read", "mmio_write"):
            found.append((words[2], int(words[3], 0), int(words[5], 0)))
        elif len(words) > 3 and words[2] in ("accepted", "interrupt"):
            found.append((words[2], int(words[3], 0), 0))
    return found


def register_writes(text):
    """[(register, value)] as the guest wrote them to the I/O APIC: the same on every machine."""
    selected, found = None, []
    for kind, address, value in entries_of(text):
        if kind == "mmio_write" and address == IOREGSEL:
            selected = value
        elif kind == "mmio_write" and address == IOWIN:
            found.append((selected, value))
    return found


def complaints(text, given=True):
    """What is wrong with a transcript of KVM; empty where nothing is. `given`: it tells of the interrupts that are
    given to the processor, too."""
    entries = entries_of(text)
    wrong, written, reads = [], {}, []
    selected = None
    for kind, address, value in entries:
        if address == IOREGSEL and kind == "mmio_write":
            selected = value
        elif address == IOWIN and kind == "mmio_write":
            written[selected] = value
        elif address == IOWIN:
            reads.append((selected, value))
            mask = WRITABLE if selected >= 0x10 and selected % 2 == 0 else 0x0f000000 if selected < 3 else 0xff000000
            if selected not in (1, 2) and selected in written and (value ^ written[selected]) & mask:
                wrong.append(f"register {selected:#x} was written {written[selected]:#x} and read {value:#x}")
    for word in ("accepted", "interrupt") if given else ("accepted",):
        wrong += of_interrupts(entries, word)
    if (VERSION, 0x170011) not in reads:
        wrong.append("no read of the version")
    if not any(register == 0x18 and value & REMOTE_IRR for register, value in reads):
        wrong.append("Remote IRR was never seen")
    if len(reads) < 50 or len(written) < 8:
        wrong.append(f"{len(reads)} reads, {len(written)} registers written")
    return wrong


def of_interrupts(entries, word):
    """One for each EOI, before it, with the vectors that the entries had."""
    wrong, waiting, vectors = [], 0, []
    for kind, address, _ in entries:
        if kind == word:
            waiting += 1
            vectors.append(address)
        elif address == EOI and kind == "mmio_write":
            waiting -= 1
            if waiting < 0:
                return [f"an EOI with no '{word}' before it, after {len(vectors)}"]
    if waiting:
        wrong.append(f"'{word}' without an EOI: {waiting}")
    if set(vectors) != {VECTOR, OTHER} or vectors.count(OTHER) != 1:
        wrong.append(f"'{word}' with {[hex(v) for v in vectors]}")
    return wrong
