package step

// LoopbackGet is loopbackGet, for tests.
var LoopbackGet = loopbackGet
