package wasm

// op is an instruction's opcode; those behind a prefix byte have the prefix in
// the high byte: memory.fill is 0xfc0b.
type op uint16

const (
	opUnreachable        op = 0x00
	opBlock              op = 0x02
	opLoop               op = 0x03
	opIf                 op = 0x04
	opElse               op = 0x05
	opThrow              op = 0x08
	opThrowRef           op = 0x0a
	opEnd                op = 0x0b
	opBr                 op = 0x0c
	opBrIf               op = 0x0d
	opBrTable            op = 0x0e
	opReturn             op = 0x0f
	opCall               op = 0x10
	opCallIndirect       op = 0x11
	opReturnCall         op = 0x12
	opReturnCallIndirect op = 0x13
	opDrop               op = 0x1a
	opTryTable           op = 0x1f
	opLocalGet           op = 0x20
	opLocalSet           op = 0x21
	opLocalTee           op = 0x22
	opGlobalGet          op = 0x23
	opGlobalSet          op = 0x24
	opTableGet           op = 0x25
	opTableSet           op = 0x26
	opMemorySize         op = 0x3f
	opMemoryGrow         op = 0x40
	opI32Const           op = 0x41
	opI64Const           op = 0x42
	opI32Eq              op = 0x46
	opI32GeS             op = 0x4e
	opI32LeU             op = 0x4d
	opI32GtU             op = 0x4b
	opI32Add             op = 0x6a
	opI32Sub             op = 0x6b
	opI32Mul             op = 0x6c
	opI32ShrU            op = 0x76
	opI64Add             op = 0x7c
	opI64Sub             op = 0x7d
	opI64Mul             op = 0x7e
	opRefNull            op = 0xd0
	opRefFunc            op = 0xd2

	opMemoryInit op = 0xfc08
	opDataDrop   op = 0xfc09
	opMemoryCopy op = 0xfc0a
	opMemoryFill op = 0xfc0b
	opTableInit  op = 0xfc0c
	opElemDrop   op = 0xfc0d
	opTableCopy  op = 0xfc0e
	opTableGrow  op = 0xfc0f
	opTableSize  op = 0xfc10
	opTableFill  op = 0xfc11

	opV128Const op = 0xfd0c

	opMemoryWait32 op = 0xfe01
	opMemoryWait64 op = 0xfe02
)

// imm is the form of an instruction's immediates.
type imm byte

const (
	immUnknown imm = iota // no such instruction
	immNone
	immBlockType
	immIndex    // one index: of a label, function, local, global, table, tag, segment
	immTwo      // two indices
	immBrTable  // vector of labels, and one more
	immTryTable // block type, vector of catch clauses
	immMemory   // memory index, which must be 0
	immMemory2  // twice
	immIndexMemory
	immMemArg
	immMemArgLane
	immLane
	immS32
	immS64
	imm4
	imm8
	imm16
	immTypes   // vector of value types
	immRefType // heap type
	immFence
	immPrefix
	immLegacy // legacy exceptions
	immRefs   // typed function references
	immGC
	immSwitch // stack switching
)

// plain, simd, atomic and misc give the form of the immediates of each opcode.
var plain, misc, simd, atomic [256]imm

func init() {
	set := func(table *[256]imm, form imm, from, to int) {
		for i := from; i <= to; i++ {
			table[i] = form
		}
	}
	set(&plain, immNone, 0x00, 0x01)
	set(&plain, immBlockType, 0x02, 0x04)
	plain[0x05] = immNone
	set(&plain, immLegacy, 0x06, 0x07)
	plain[0x08] = immIndex
	plain[0x09] = immLegacy
	set(&plain, immNone, 0x0a, 0x0b)
	set(&plain, immIndex, 0x0c, 0x0d)
	plain[0x0e] = immBrTable
	plain[0x0f] = immNone
	plain[0x10] = immIndex
	plain[0x11] = immTwo
	plain[0x12] = immIndex
	plain[0x13] = immTwo
	set(&plain, immRefs, 0x14, 0x15)
	set(&plain, immLegacy, 0x18, 0x19)
	set(&plain, immNone, 0x1a, 0x1b)
	plain[0x1c] = immTypes
	plain[0x1f] = immTryTable
	set(&plain, immIndex, 0x20, 0x26)
	set(&plain, immMemArg, 0x28, 0x3e)
	set(&plain, immMemory, 0x3f, 0x40)
	plain[0x41] = immS32
	plain[0x42] = immS64
	plain[0x43] = imm4
	plain[0x44] = imm8
	set(&plain, immNone, 0x45, 0xc4)
	plain[0xd0] = immRefType
	plain[0xd1] = immNone
	plain[0xd2] = immIndex
	plain[0xd3] = immGC
	set(&plain, immRefs, 0xd4, 0xd6)
	set(&plain, immSwitch, 0xe0, 0xe6)
	plain[0xfb] = immGC
	set(&plain, immPrefix, 0xfc, 0xfe)

	set(&misc, immNone, 0, 7)
	misc[8] = immIndexMemory
	misc[9] = immIndex
	misc[10] = immMemory2
	misc[11] = immMemory
	misc[12] = immTwo
	misc[13] = immIndex
	misc[14] = immTwo
	set(&misc, immIndex, 15, 17)

	set(&simd, immNone, 0x00, 0xff)
	set(&simd, immMemArg, 0x00, 0x0b)
	set(&simd, imm16, 0x0c, 0x0d)
	set(&simd, immLane, 0x15, 0x22)
	set(&simd, immMemArgLane, 0x54, 0x5b)
	set(&simd, immMemArg, 0x5c, 0x5d)
	for _, hole := range []byte("\x9a\xa2\xa5\xa6\xaf\xb0\xb2\xb3\xb4\xbb\xc2\xc5\xc6\xcf\xd0\xd2\xd3\xd4\xe2\xee") {
		simd[hole] = immUnknown
	}

	set(&atomic, immMemArg, 0x00, 0x02)
	atomic[0x03] = immFence
	set(&atomic, immMemArg, 0x10, 0x4e)
}
