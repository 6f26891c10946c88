using BenchmarkDotNet.Running;
using KvStore.Benchmarks;

// dotnet run -c Release --project tests/KvStore.Benchmarks -- --filter '*'
// dotnet run -c Release --project tests/KvStore.Benchmarks -- anti-entropy [keys]
if (args is ["anti-entropy", .. string[] rest])
{
    return AntiEntropyTable.Run(rest, Console.Out);
}

BenchmarkSwitcher.FromAssembly(typeof(RaftRound).Assembly).Run(args);
return 0;
