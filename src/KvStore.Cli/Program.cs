using System.Runtime.InteropServices;
using KvStore.Cli;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Running;

// 'kv node ...' is what 'kv up' starts: the node's own program with the node's own flags, none of which kv may interpret.
if (args is ["node", .. var nodeArguments])
{
    return await NodeCommand.RunAsync(nodeArguments);
}

var terminal = Terminal.OfProcess();
using var stop = new CancellationTokenSource();
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
return await KvCommandLine.RunAsync(args, terminal, stop.Token);

void OnSignal(PosixSignalContext signal)
{
    if (signal.Signal == PosixSignal.SIGINT && terminal.Interruptions.TryTake())
    {
        // The shell ends the line that is running, and goes on.
        signal.Cancel = true;
        return;
    }

    // The first signal ends the command in good order; a second one ends the process.
    signal.Cancel = !stop.IsCancellationRequested;
    stop.Cancel();
}
