using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace KvStore.Storage.Log;

/// <summary>
/// What .NET does not offer: fdatasync, which spares the write of a file's times when its size did not change, and fsync of a folder, without which a new name may be gone after a power loss.
/// </summary>
internal static partial class NativeSync
{
    private const int OpenReadOnly = 0;

    public static void Data(SafeFileHandle file)
    {
        if (!OperatingSystem.IsLinux())
        {
            RandomAccess.FlushToDisk(file);
            return;
        }

        if (FDataSync(file) != 0)
        {
            throw Failure("fdatasync");
        }
    }

    public static void Directory(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        var handle = Open(path, OpenReadOnly);
        if (handle < 0)
        {
            throw Failure($"open of the folder {path}");
        }

        try
        {
            if (FSync(handle) != 0)
            {
                throw Failure($"fsync of the folder {path}");
            }
        }
        finally
        {
            _ = Close(handle);
        }
    }

    private static IOException Failure(string what)
    {
        var error = Marshal.GetLastPInvokeError();
        return new IOException($"{what} failed: {Marshal.GetPInvokeErrorMessage(error)} (errno {error})", error);
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FDataSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(int file);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int file);
}
