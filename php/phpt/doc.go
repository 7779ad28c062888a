// Package phpt runs PHP's own tests, the .phpt files of its source package, on
// an [Interpreter]: PHP as WebAssembly inside this process, or a program of
// this machine, which is the reference.
//
// A [Test] is a parsed file: sections with a script, what it needs and what it
// prints. A [Tree] is a copy of the tests that scripts may write to. Tree.Run
// runs a test in it and tells its [Result]. A [Suite] runs many of them with
// several trees at once.
//
// What passes in the reference is to pass as WebAssembly too. The tests that do
// not are in failing.txt, each with a cause: [Compare] tells the tests that
// fail and are not listed there, and those that are listed and pass.
//
// The rules are those of PHP's run-tests.php, which says in its own words what
// a section means; here the sections of php-dbg and valgrind are left out.
package phpt
