using KvStore.Storage.Engine;

namespace KvStore.Storage.Log;

/// <summary>
/// Keeps one zero-filled file ready before the writer needs it, so that a change of segments does not stall the group commit. A full disk is no failure here: the writer finds out for
/// itself if it really needs the file.
/// </summary>
internal sealed class SparePreparer(ILogDirectory directory, long segmentBytes, StorageScheduler scheduler, StorageHealth health) : ScheduledWork(scheduler)
{
    public const string UnfinishedName = "spare.new";
    private const string SpareName = "spare.seg";

    private const int None = 0;
    private const int Wanted = 1;
    private const int Ready = 2;
    private const int Claimed = 3;
    private int _state;

    public void Want()
    {
        if (Volatile.Read(ref _state) == None && Interlocked.CompareExchange(ref _state, Wanted, None) == None)
        {
            Wake();
        }
    }

    /// <summary>The name of the spare, which is the caller's from now on, or null.</summary>
    public string? Take() => Interlocked.CompareExchange(ref _state, None, Ready) == Ready ? SpareName : null;

    /// <summary>Makes the spare out of a file that is no longer needed, unless there is one.</summary>
    public bool Offer(string name)
    {
        if (Interlocked.CompareExchange(ref _state, Claimed, None) != None)
        {
            return false;
        }

        directory.Rename(name, SpareName);
        Volatile.Write(ref _state, Ready);
        return true;
    }

    protected override void Run()
    {
        if (health.IsStopped || Volatile.Read(ref _state) != Wanted)
        {
            return;
        }

        try
        {
            directory.Create(UnfinishedName, segmentBytes).Dispose();
            directory.Rename(UnfinishedName, SpareName);
            Volatile.Write(ref _state, Ready);
        }
        catch (IOException)
        {
            Volatile.Write(ref _state, None);
        }
    }
}
