using KvStore.Core.Identity;
using KvStore.Node.Catalog;
using KvStore.Node.Peers;
using KvStore.Storage;
using KvStore.Storage.Log;

namespace KvStore.Node.Hosting;

/// <summary>Opens the node's storage and what it knows of its peers, and turns what can be wrong with it into one sentence and an exit code.</summary>
internal static class DataDirectory
{
    public static NodeStorage Open(NodeOptions options, out KnownDirectories known)
    {
        NodeStorage? storage = null;
        try
        {
            storage = NodeStorage.Open(new StorageOptions
            {
                Directory = options.Engine == StorageEngine.Memory ? null : options.DataDirectory,
                ClusterId = options.ClusterId,
                NodeId = new NodeId(options.NodeId),
                Generation = options.Generation,
                Engine = options.Engine == StorageEngine.Memory ? Storage.StorageEngine.Memory : Storage.StorageEngine.RocksDb,
                SegmentBytes = options.SegmentBytes,
                RetainedLogBytes = options.RetainedLogBytes,
                TableBytes = options.TableBytes,
                LowSpaceBytes = options.LowSpaceBytes,
            });
            known = new KnownDirectories(storage);
            return storage;
        }
        catch (StorageRefusedException refused)
        {
            storage?.Abandon();
            throw new NodeFailureException(refused.IsInUse ? ExitCodes.Temporary : ExitCodes.DataDirectory, refused.Message, refused);
        }
        catch (LogCorruptException corrupt)
        {
            throw new NodeFailureException(ExitCodes.DataDirectory, corrupt.Message, corrupt);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new NodeFailureException(ExitCodes.DataDirectory, $"The data directory '{options.DataDirectory}' can't be used: {failure.Message} Check its path and permissions.", failure);
        }
    }

    /// <summary>Who the members are as far as the data directory knows, or the flags for one that doesn't know yet. A node that joins asks a member.</summary>
    /// <exception cref="NodeFailureException">The directory can't be joined with, or nobody can be asked.</exception>
    public static async Task<MemberRoster> MembersAsync(NodeOptions options, NodeStorage storage, ILogger log, CancellationToken cancellation)
    {
        try
        {
            if (MemberRoster.Read(storage, options.ClusterId, FoundersOf(options), log) is { } kept)
            {
                return kept;
            }

            if (options.Join.Count == 0)
            {
                return MemberRoster.Begin(storage, options.ClusterId, MemberRoster.Founding(FoundersOf(options)), log);
            }

            return storage.RecoveredShards.Count > 0
                ? throw new NodeFailureException(ExitCodes.DataDirectory, $"The data directory '{options.DataDirectory}' was used without --join before, and is another cluster's: a node joins with an empty one.")
                : MemberRoster.Begin(storage, options.ClusterId, await MemberInquiry.JoinAsync(options, cancellation), log);
        }
        catch (IOException failure)
        {
            throw new NodeFailureException(ExitCodes.DataDirectory, $"The data directory '{options.DataDirectory}' can't be used: {failure.Message} Check its path and permissions.", failure);
        }
    }

    private static IReadOnlyList<PeerAddress> FoundersOf(NodeOptions options) => options.Members.Count > 0
        ? options.Members
        : [new PeerAddress(new NodeId(options.NodeId), options.AdvertisedAddress.Length > 0 ? options.AdvertisedAddress : $"{options.ListenHost}:{options.Port}")];
}
