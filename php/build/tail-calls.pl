# In zend_vm_execute.h, helpers with arguments of their own get them in variables:
# a call in place of a return has its caller's arguments.
s{(\w+_helper_SPEC\w*)\(([^()]+) ZEND_OPCODE_HANDLER_ARGS_DC\)\n\{}{
	my ($name, $n, $vars) = ($1, 0, "");
	$vars .= "\n\t$_ = (" . s/\w+$//r . ")zend_vm_args[" . $n++ . "];" for split /, /, $2;
	"$name(ZEND_OPCODE_HANDLER_ARGS)\n\x7b$vars"
}ge;
s{ZEND_VM_TAIL_CALL\((\w+)\(([^;]+) ZEND_OPCODE_HANDLER_ARGS_PASSTHRU_CC\)\)}{
	my ($name, $n, $sets) = ($1, 0, "");
	$sets .= "zend_vm_args[" . $n++ . "] = (uintptr_t)$_; " for split /, (?![^(]*\))/, $2;
	"${sets}ZEND_VM_TAIL_CALL($name(ZEND_OPCODE_HANDLER_ARGS_PASSTHRU))"
}ge;
