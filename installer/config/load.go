package config

// ReadFile reads a file that the user named. The package has no other way to the host.
type ReadFile func(path string) ([]byte, error)

// LoadInit makes the configuration of `init` out of flags, the file that they name, and defaults. All problems are reported at once.
func LoadInit(f *InitFlags, read ReadFile, env Environment) (*Init, error) { panic("stub") }

// LoadJoin makes the configuration of `join`; args are the command's arguments: the endpoint, or nothing.
func LoadJoin(f *JoinFlags, args []string, read ReadFile, env Environment) (*Join, error) {
	panic("stub")
}

// LoadReset makes the configuration of `reset`.
func LoadReset(f *ResetFlags, read ReadFile) (*Reset, error) { panic("stub") }

// LoadToken makes the token of `token create`; args are the command's arguments: the token, or nothing. Without --config it is
// the flags' content; an empty Token in the result means: make a random one.
func LoadToken(f *TokenFlags, args []string, read ReadFile) (*BootstrapToken, error) { panic("stub") }
