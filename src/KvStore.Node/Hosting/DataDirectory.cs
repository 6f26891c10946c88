using KvStore.Core.Identity;
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
}
