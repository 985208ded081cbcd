package step
