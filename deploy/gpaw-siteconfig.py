"""How GPAW is compiled, serial, with the libxc and OpenBLAS of the system: see README.md."""

mpi = False
compiler = "gcc"
libraries = ["xc", "openblas"]
fftw = False
scalapack = False
noblas = False
