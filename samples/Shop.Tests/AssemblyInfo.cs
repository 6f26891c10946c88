using Xunit.Sdk;
using Xunit.v3;

// One cluster at a time: they would only miss each other's deadlines.
[assembly: Parallelization(Mode = ParallelMode.None)]
