#include "textflag.h"

// Where wazero's execution context has its fields; guardFits compares.
#define exitCode 0
#define originalFramePointer 16
#define originalStackPointer 24
#define stackBottomPtr 40
#define goCallReturnAddress 48
#define stackPointerBeforeGoCall 56
#define framePointerBeforeGoCall 1152

// Where the kernel's ucontext has registers, and siginfo its code.
#define contextRBP 120
#define contextRSP 160
#define contextRIP 168
#define infoCode 8

#define memoryOutOfBounds 4
#define largestStack (64 << 20)

// func onFault()
//
// The kernel calls it for SIGSEGV, on the signal's own stack, with the signal's
// number in DI, its siginfo in SI and ucontext in DX. If compiled code of a
// guest faulted, the call goes on where it would have gone on had the code left
// by itself, with the exit code for an access out of bounds. Everything else is
// left to the handler of Go's runtime.
TEXT ·onFault(SB), NOSPLIT|NOFRAME, $0
	// A signal that somebody sent is no fault.
	CMPL infoCode(SI), $0
	JLE  others

	// Go's own code, which may have been called by compiled code.
	MOVQ contextRIP(DX), R8
	LEAQ runtime·text(SB), AX
	CMPQ R8, AX
	JCS  guest
	LEAQ runtime·etext(SB), AX
	CMPQ R8, AX
	JCS  others

guest:
	// The GS register holds the context of the call that ran last on this
	// thread; it runs now if the stack is that call's.
	BYTE $0xF3; BYTE $0x48; BYTE $0x0F; BYTE $0xAE; BYTE $0xC9 // RDGSBASE CX
	TESTQ CX, CX
	JEQ  others
	MOVQ contextRSP(DX), R9
	MOVQ R9, AX
	SUBQ stackBottomPtr(CX), AX
	CMPQ AX, $largestStack
	JCC  others

	// What compiled code does itself when a check of its own fails.
	MOVL $memoryOutOfBounds, exitCode(CX)
	MOVQ R9, stackPointerBeforeGoCall(CX)
	MOVQ contextRBP(DX), AX
	MOVQ AX, framePointerBeforeGoCall(CX)
	MOVQ R8, goCallReturnAddress(CX)
	MOVQ originalFramePointer(CX), AX
	MOVQ AX, contextRBP(DX)
	MOVQ originalStackPointer(CX), AX
	MOVQ (AX), R8
	MOVQ R8, contextRIP(DX)
	ADDQ $8, AX
	MOVQ AX, contextRSP(DX)
	LOCK
	INCQ ·faults(SB)
	RET

others:
	MOVQ ·goHandler(SB), AX
	JMP  AX

// func onFaultAddress() uintptr
TEXT ·onFaultAddress(SB), NOSPLIT, $0-8
	LEAQ ·onFault(SB), AX
	MOVQ AX, ret+0(FP)
	RET
