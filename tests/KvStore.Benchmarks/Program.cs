using BenchmarkDotNet.Running;
using KvStore.Benchmarks;
using KvStore.Benchmarks.Compare;

// dotnet run -c Release --project tests/KvStore.Benchmarks -- --filter '*'
// dotnet run -c Release --project tests/KvStore.Benchmarks -- anti-entropy [keys]
// dotnet run -c Release --project tests/KvStore.Benchmarks -- heal [keys] [rounds] [seconds]
// dotnet run -c Release --project tests/KvStore.Benchmarks -- compare [--rounds N] [--seconds S] [--only GROUP,...]
// dotnet run -c Release --project tests/KvStore.Benchmarks -- duel --env NAME=VALUE [--program KV.DLL] [--only GROUP,...]
switch (args)
{
    case ["anti-entropy", .. string[] rest]:
        return AntiEntropyTable.Run(rest, Console.Out);
    case ["heal", .. string[] rest]:
        return await HealingTime.RunAsync(rest, Console.Out);
    case ["compare", .. string[] rest]:
        return await Comparison.RunAsync(rest, Console.Out);
    case ["duel", .. string[] rest]:
        return await Duel.RunAsync(rest, Console.Out);
    default:
        BenchmarkSwitcher.FromAssembly(typeof(RaftRound).Assembly).Run(args);
        return 0;
}
