package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"aead.dev/minisign"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"kubebundle/bundle"
	"kubebundle/bundle/trust"
)

// passwordEnv holds the secret key's password where nobody can type it. There is no flag for it: every user of a
// machine can read the command lines of all others.
const passwordEnv = "KUBEBUNDLE_PASSWORD"

const passwordHelp = `The secret key's password is asked for on the terminal, or read from --password-file, or from the environment variable
` + passwordEnv + `; no flag takes the password itself.`

// signFlags say which key signs.
type signFlags struct {
	keyFile      string
	passwordFile string
}

func (f *signFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.keyFile, "sign-key", "", "`file` with the secret key that signs the bundle (see `bundler keygen`)")
	f.addPassword(fs)
}

func (f *signFlags) addPassword(fs *pflag.FlagSet) {
	fs.StringVar(&f.passwordFile, "password-file", "", "`file` with the secret key's password; - reads standard input")
}

// signer reads the secret key, before a long build rather than after it.
func (a *app) signer(cmd *cobra.Command, f *signFlags) (bundle.SignFunc, error) {
	data, err := os.ReadFile(f.keyFile)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	if st, err := os.Stat(f.keyFile); err == nil && st.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(a.err, "warning: others can read the secret key %s: chmod 600 %s\n", f.keyFile, f.keyFile)
	}
	key, err := trust.ParseSecret(data, func() (string, error) { return a.password(cmd, f, "Password of "+f.keyFile+": ") })
	if err != nil {
		return nil, fmt.Errorf("secret key %s: %w", f.keyFile, err)
	}
	return trust.Signer(key), nil
}

// password asks for a password in the one way that was chosen.
func (a *app) password(cmd *cobra.Command, f *signFlags, prompts ...string) (string, error) {
	if f.passwordFile != "" {
		name := f.passwordFile
		if name == "-" {
			name = "/dev/stdin"
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("password: %w", err)
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	if pw := a.getenv(passwordEnv); pw != "" {
		return pw, nil
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", usageHint(cmd, "the secret key's password cannot be asked for without a terminal: --password-file FILE, or the variable %s", passwordEnv)
	}
	defer func() { _ = tty.Close() }() // what it told is told
	var first string
	for i, prompt := range prompts {
		fmt.Fprint(tty, prompt)
		pw, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(tty)
		if err != nil {
			return "", fmt.Errorf("password: %w", err)
		}
		if i > 0 && string(pw) != first {
			return "", errors.New("password: the two are not the same")
		}
		first = string(pw)
	}
	return first, nil
}

func (a *app) signCmd() *cobra.Command {
	f := &signFlags{}
	cmd := &cobra.Command{
		Use:   "sign --sign-key FILE FILE|FOLDER",
		Short: "Sign a bundle",
		Long: `Verify every byte of a bundle, and sign it. The signature, bundle.json.minisig, is in minisign's format and covers all of
the bundle. Of a .tar.gz only the small part in front is written anew; that changes the digest of the file, so standard
output has the path and the new digest. The result is the same as that of ` + "`bundler build --sign-key`" + `.

` + passwordHelp,
		Example: `  bundler sign --sign-key kubebundle.key k8s-v1.34.4-linux-amd64.tar.gz`,
		Args:    oneBundle,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.keyFile == "" {
				return usageHint(cmd, "with which key? --sign-key is missing")
			}
			sign, err := a.signer(cmd, f)
			if err != nil {
				return err
			}
			res, err := bundle.Sign(cmd.Context(), args[0], sign)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"path": res.Path, "sha256": res.SHA256, "size": res.Size})
			}
			_, err = fmt.Fprintln(a.out, strings.TrimSpace(res.Path+"  "+res.SHA256))
			return err
		},
	}
	f.add(cmd.Flags())
	return cmd
}

func (a *app) keygenCmd() *cobra.Command {
	f := &signFlags{}
	var public string
	var noPassword bool
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a key pair to sign bundles with",
		Long: `Make a key pair to sign bundles with, in minisign's format. Standard output has the public key, which goes to everybody who
shall trust your bundles: as a file, or as these 56 characters. The secret key stays here, readable for you alone.

` + passwordHelp,
		Example: `  bundler keygen --secret-key kubebundle.key --public-key kubebundle.pub`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var password string
			if !noPassword {
				var err error
				if password, err = a.password(cmd, f, "Password of the new secret key: ", "The same again: "); err != nil {
					return err
				}
				if password == "" {
					return usageHint(cmd, "the password is empty; --no-password makes a secret key that is not encrypted")
				}
			}
			key, secret, err := trust.Generate(password)
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			if err := writeKeys(f.keyFile, secret, public, key); err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]string{"publicKey": key.String(), "keyID": trust.KeyID(key.ID()), "publicFile": public, "secretFile": f.keyFile})
			}
			_, err = fmt.Fprintln(a.out, key.String())
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.keyFile, "secret-key", "kubebundle.key", "`file` to write the secret key to; an existing one is refused")
	fl.StringVar(&public, "public-key", "kubebundle.pub", "`file` to write the public key to; an existing one is refused")
	fl.BoolVar(&noPassword, "no-password", false, "do not encrypt the secret key: who has the file can sign")
	f.addPassword(fl)
	return cmd
}

// writeKeys writes both files or none, and over nothing.
func writeKeys(secretPath string, secret []byte, publicPath string, public minisign.PublicKey) error {
	if err := writeNew(secretPath, secret, 0o600); err != nil {
		return fmt.Errorf("secret key: %w", err)
	}
	if err := writeNew(publicPath, trust.PublicFile(public), 0o644); err != nil {
		return errors.Join(fmt.Errorf("public key: %w", err), os.Remove(secretPath))
	}
	return nil
}

func writeNew(path string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(path) // it is ours, and half written
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}
