namespace KvStore.Cli.Running;

/// <summary>Lets a command that runs others take Ctrl-C for the one that is running, instead of ending with it.</summary>
internal sealed class Interruptions
{
    private Action? _taker;

    /// <summary>From now on, until it is disposed of.</summary>
    /// <param name="taker">Called from the thread of the signal.</param>
    public IDisposable TakenBy(Action taker)
    {
        _taker = taker;
        return new Giving(this);
    }

    /// <summary>An interruption has come. Returns whether somebody took it.</summary>
    public bool TryTake()
    {
        var taker = _taker;
        taker?.Invoke();
        return taker is not null;
    }

    private sealed class Giving(Interruptions from) : IDisposable
    {
        public void Dispose() => from._taker = null;
    }
}
