package installer
